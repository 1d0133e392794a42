"""What a study is: data that names what is searched, for what, with how many trials, drawn how.

Like an experiment's spec it has no control flow and imports no torch. See `ablations/` for the studies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sftok.config import Config

EVALUATION = "evaluation."
"""What keys of a study with a fixed checkpoint begin with."""

Scalar = str | int | float | bool


class _Range(Config):
    keys: tuple[str, ...] = Field(min_length=1)
    """The configuration values that it sets, all alike."""
    low: float
    high: float
    log: bool = False
    """Whether its logarithm is drawn evenly."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError(f"{self.keys[0]}: {self.low} to {self.high} is no range")
        return self


class FloatRange(_Range):
    """A real number between two others, both included."""

    kind: Literal["float"] = "float"


class IntRange(_Range):
    """A whole number between two others, both included."""

    kind: Literal["int"] = "int"
    low: int
    high: int


class Choice(Config):
    """One of several values without an order."""

    kind: Literal["choice"] = "choice"
    keys: tuple[str, ...] = Field(min_length=1)
    choices: tuple[Scalar, ...] = Field(min_length=2)


Dimension = Annotated[FloatRange | IntRange | Choice, Field(discriminator="kind")]


class Objective(Config):
    """The number that is searched for, in the profile's primary feature space on the validation split."""

    metric: str = "rfid"
    steps: int = Field(default=8, ge=1)
    """Decoding steps T; trials are evaluated at these alone."""
    lower_is_better: bool = True


class Sampler(Config):
    """How trials are drawn. A trial's draws depend on the seed, its number, and the trials before it."""

    name: Literal["tpe", "random", "grid"] = "tpe"
    """`grid` goes through all combinations of choices, in an order that the seed shuffles."""
    seed: int = 0
    startup_trials: int = Field(default=10, ge=0)
    """How many finished trials TPE wants before it stops drawing at random."""


class MedianPruner(Config):
    """Stops a trial whose training loss is above the median of the others' at the same step.

    Of use only where the loss means the same in every trial.
    """

    rungs: int = Field(default=8, ge=2)
    """How often in a training it looks, at even distances."""
    startup_trials: int = Field(default=4, ge=1)
    """How many trials must have finished before any is stopped."""
    warm_up_rungs: int = Field(default=2, ge=0)
    """At how many rungs no trial is stopped yet."""
    quantity: str = "reconstruction_loss"
    """Of the training log; a rung's value is its mean since the rung before."""


class Study(Config):
    """A search over configuration values of one row."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    description: str
    experiment: str
    """Whose row it starts from."""
    row: str
    space: Mapping[str, Dimension] = Field(min_length=1)
    """What is searched, by a short name of ours."""
    objective: Objective = Objective()
    trials: int = Field(ge=1)
    """In all: complete, pruned and failed ones."""
    sampler: Sampler = Sampler()
    pruner: MedianPruner | None = None
    training_seed: int = 100
    """Of the tokenizers that are trained: none that a table reports, so that nothing is tuned on those."""
    fixed_checkpoint: bool = False
    """Whether every trial measures the same trained tokenizer: only the evaluation is searched."""

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
            raise ValueError(f"{self.name}: a grid goes through choices, not through ranges")
        return self

    def overlay(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration values that a trial's `parameters` (by name) stand for."""
        return {key: value for name, value in parameters.items() for key in self.space[name].keys}
