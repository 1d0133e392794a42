"""The definition of a study: data that names the search space, the objective, the trials and the sampler.

Like an experiment's spec, it has no control flow and does not import torch. See `ablations/` for the studies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sftok.config import Config

EVALUATION = "evaluation."
"""Prefix of the keys that a study with a fixed checkpoint may search."""

Scalar = str | int | float | bool


class _Range(Config):
    keys: tuple[str, ...] = Field(min_length=1)
    """The configuration keys, which all get the same value."""
    low: float
    high: float
    log: bool = False
    """Whether values are drawn uniformly on a logarithmic scale."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError(f"{self.keys[0]}: {self.low} to {self.high} is not a range")
        return self


class FloatRange(_Range):
    """A real number between two bounds, inclusive."""

    kind: Literal["float"] = "float"


class IntRange(_Range):
    """A whole number between two bounds, inclusive."""

    kind: Literal["int"] = "int"
    low: int
    high: int


class Choice(Config):
    """One of several unordered values."""

    kind: Literal["choice"] = "choice"
    keys: tuple[str, ...] = Field(min_length=1)
    choices: tuple[Scalar, ...] = Field(min_length=2)


Dimension = Annotated[FloatRange | IntRange | Choice, Field(discriminator="kind")]


class Objective(Config):
    """The metric to optimize, in the profile's primary feature space on the validation split."""

    metric: str = "rfid"
    steps: int = Field(default=8, ge=1)
    """Decoding steps T; trials are evaluated only at this number."""
    lower_is_better: bool = True


class Sampler(Config):
    """How trials are drawn; the draws depend on the seed, the trial's number and the earlier trials."""

    name: Literal["tpe", "random", "grid"] = "tpe"
    """`grid` covers all combinations of choices, in an order shuffled with the seed."""
    seed: int = 0
    startup_trials: int = Field(default=10, ge=0)
    """Number of finished trials before TPE stops drawing at random."""


class MedianPruner(Config):
    """Stops a trial whose training loss is above the median of the other trials at the same step.

    It is useful only if the loss is comparable between trials.
    """

    rungs: int = Field(default=8, ge=2)
    """Number of evenly spaced checks during training."""
    startup_trials: int = Field(default=4, ge=1)
    """Number of trials that must finish before any is stopped."""
    warm_up_rungs: int = Field(default=2, ge=0)
    """Number of initial rungs at which no trial is stopped."""
    quantity: str = "reconstruction_loss"
    """Quantity of the training log; a rung's value is its mean since the previous rung."""


class Study(Config):
    """A search over configuration values of one row."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    description: str
    experiment: str
    """The experiment whose row is the starting point."""
    row: str
    space: Mapping[str, Dimension] = Field(min_length=1)
    """The searched dimensions, by a short name."""
    objective: Objective = Objective()
    trials: int = Field(ge=1)
    """Total number of trials, including pruned and failed ones."""
    sampler: Sampler = Sampler()
    pruner: MedianPruner | None = None
    training_seed: int = 100
    """Seed for training; tables use other seeds, so that nothing is tuned on their tokenizers."""
    fixed_checkpoint: bool = False
    """Whether all trials measure the same trained tokenizer, so that only the evaluation is searched."""

    @model_validator(mode="after")
    def _searches_what_it_may(self) -> Self:
        keys = [key for dimension in self.space.values() for key in dimension.keys]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"{self.name}: two dimensions set {twice[0]}")
        for key in keys:
            if key in ("evaluation.split", "evaluation.steps", "evaluation.primary_extractor"):
                raise ValueError(f"{self.name}: {key} is part of the objective and cannot be searched")
            if self.fixed_checkpoint and not key.startswith(EVALUATION):
                raise ValueError(f"{self.name}: the checkpoint is fixed, so {key} cannot be searched")
        if self.fixed_checkpoint and self.pruner is not None:
            raise ValueError(f"{self.name}: nothing is trained in its trials, so nothing can be pruned")
        if self.sampler.name == "grid" and any(each.kind != "choice" for each in self.space.values()):
            raise ValueError(f"{self.name}: the grid sampler needs choices, not ranges")
        return self

    def overlay(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration values for a trial's `parameters` (by name)."""
        return {key: value for name, value in parameters.items() for key in self.space[name].keys}
