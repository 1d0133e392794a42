"""What an analysis is asked to do, as data. Importing this module loads no network code."""

from __future__ import annotations

from pydantic import Field, field_validator

from sftok.config import Config


class AnalysisConfig(Config):
    """How Figure 4a and Appendix C are measured; the paper says T = 8 (Section 3.2) and nothing else."""

    images: int = Field(default=2000, ge=1)
    """At most so many of the evaluation's images, as many of each class; the same for every row."""
    steps: int = Field(default=8, ge=2)
    """Decoding steps T of which each one is looked at."""
    visible_fractions: tuple[float, ...] = Field(default=(0.25, 0.5, 0.75), min_length=1)
    """Shares of the codes that a context shows."""
    batch_size: int = Field(default=250, ge=1)
    """Images looked at together; masks, and noise in the decoding, depend on it."""
    seed: int = Field(default=0, ge=0)
    """Of masks and noise."""

    @field_validator("visible_fractions")
    @classmethod
    def _leave_something_to_predict(cls, fractions: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < fraction < 1 for fraction in fractions) or len(set(fractions)) != len(fractions):
            raise ValueError("each fraction lies between 0 and 1, and none is named twice")
        return fractions
