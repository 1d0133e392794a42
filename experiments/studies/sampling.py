"""Samplers that draw trials by number, so that neither workers nor interruptions change a draw.

Optuna's random samplers carry state from trial to trial: two workers with one seed would draw the same
trials, and a resumed study would draw different trials than an uninterrupted one. Here each draw has its own
seed.
"""

from __future__ import annotations

import hashlib
import warnings
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GridSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, Trial

from experiments.specs.study import Choice, FloatRange, Sampler, Study


def draw(trial: Trial, study: Study) -> None:
    """Draw a value of `trial` for every dimension that has none yet."""
    for name, dimension in study.space.items():
        if isinstance(dimension, Choice):
            trial.suggest_categorical(name, dimension.choices)
        elif isinstance(dimension, FloatRange):
            trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
        else:
            trial.suggest_int(name, dimension.low, dimension.high, log=dimension.log)


def sampler(study: Study) -> BaseSampler:
    """The study's sampler."""
    if study.sampler.name == "grid":
        grid = {name: each.choices for name, each in study.space.items() if isinstance(each, Choice)}
        return _Grid(grid, seed=study.sampler.seed)
    return _ByNumber(study.sampler)


class _Grid(GridSampler):
    """Optuna's grid, whose n-th trial is the n-th combination."""

    def after_trial(self, *ended: Any) -> None:
        """Do nothing, because ending `Study.optimize` after the last combination is not needed here."""


class _ByNumber(RandomSampler):
    """Draws each parameter independently, seeded by the study's seed, the trial's number and its name."""

    def __init__(self, config: Sampler):
        super().__init__()
        self._config = config

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw the value of one parameter."""
        identity = f"{self._config.seed} {trial.number} {param_name}"
        seed = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "big")
        own: BaseSampler = RandomSampler(seed=seed)
        if self._config.name == "tpe":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                # The constant liar keeps concurrent trials distinct.
                startup = self._config.startup_trials
                own = TPESampler(seed=seed, n_startup_trials=startup, multivariate=False, constant_liar=True)
        return own.sample_independent(study, trial, param_name, param_distribution)
