"""The definition of a profile."""

from __future__ import annotations

from typing import Any

from experiments.specs import Row
from sftok.config import Config, ConfigError, choices_hint


class Profile(Config):
    """A scale at which every spec can run."""

    name: str
    purpose: str
    """One line for `list` and for reports."""
    overlay: dict[str, Any]
    """Recipe values by dotted key; all others are the paper's."""
    variants: dict[str, dict[str, Any]] = {}
    """Values of a row's named variants at this scale; `larger-decoder` is ViT-L in the paper."""
    meaningless: bool = False
    """True if its numbers show only that the code runs."""
    threads: int | None = None
    """Threads of a process that computes on CPUs, which affect the last bits; None for all cores."""
    seconds_per_step: dict[str, float] = {}
    """Expected time per unit of work by stage, used until the store has measurements."""

    def overlay_of(self, row: Row) -> dict[str, Any]:
        """The changes of `row` at this scale: its variants, then its overrides.

        Raises:
            ConfigError: the profile does not define one of the variants.
        """
        changes: dict[str, Any] = {}
        for variant in row.variants:
            if variant not in self.variants:
                hint = choices_hint(variant, self.variants)
                raise ConfigError(f"row {row.name!r}: profile {self.name} has no variant {variant!r}; {hint}")
            changes |= self.variants[variant]
        return changes | row.overrides
