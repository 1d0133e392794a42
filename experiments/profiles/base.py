"""What a profile is."""

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
    """Recipe values by dotted key; what it does not name is the paper's."""
    variants: dict[str, dict[str, Any]] = {}
    """What the named changes of a row mean at this scale: `larger-decoder` is ViT-L in the paper."""
    meaningless: bool = False
    """True if its numbers say only that the code runs."""
    threads: int | None = None
    """Threads of a process that computes on CPUs; the last bits depend on it. None: all cores."""
    seconds_per_step: dict[str, float] = {}
    """Expected time of a unit of work by kind of artifact, until the store has measured ones."""

    def overlay_of(self, row: Row) -> dict[str, Any]:
        """What `row` changes here: its variants (ConfigError if one is unknown), then its overrides."""
        changes: dict[str, Any] = {}
        for variant in row.variants:
            if variant not in self.variants:
                hint = choices_hint(variant, self.variants)
                raise ConfigError(f"row {row.name!r}: profile {self.name} has no variant {variant!r}; {hint}")
            changes |= self.variants[variant]
        return changes | row.overrides
