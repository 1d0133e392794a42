"""How a study's trials are drawn: by number, so that neither workers nor interruptions change a draw.

Optuna's samplers carry a random state from trial to trial: two workers with one seed would draw the same
trials, and a study that was interrupted others than one in one go. Here each draw has a seed of its own.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import warnings
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, Trial

from experiments.study import Choice, FloatRange, Sampler, Study


def draw(trial: Trial, study: Study) -> None:
    """Give `trial` a value in every dimension that it has none in yet."""
    for name, dimension in study.space.items():
        if isinstance(dimension, Choice):
            trial.suggest_categorical(name, dimension.choices)
        elif isinstance(dimension, FloatRange):
            trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
        else:
            trial.suggest_int(name, dimension.low, dimension.high, log=dimension.log)


def sampler(study: Study) -> BaseSampler:
    """The study's sampler."""
    return _Grid(study) if study.sampler.name == "grid" else _ByNumber(study.sampler)


class _Independent(BaseSampler):
    """Draws each parameter on its own."""

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}


class _ByNumber(_Independent):
    def __init__(self, config: Sampler):
        self._config = config

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        seed = _seed(self._config.seed, trial.number, param_name)
        own: BaseSampler = RandomSampler(seed=seed)
        if self._config.name == "tpe":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                # The liar keeps trials that run at the same time apart.
                startup = self._config.startup_trials
                own = TPESampler(seed=seed, n_startup_trials=startup, multivariate=False, constant_liar=True)
        return own.sample_independent(study, trial, param_name, param_distribution)


class _Grid(_Independent):
    def __init__(self, study: Study):
        values = [each.choices for each in study.space.values() if isinstance(each, Choice)]
        self._combinations = [
            dict(zip(study.space, combination, strict=True)) for combination in itertools.product(*values)
        ]
        random.Random(study.sampler.seed).shuffle(self._combinations)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._combinations[trial.number % len(self._combinations)][param_name]


def _seed(seed: int, number: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {number} {name}".encode()).digest()[:4], "big")
