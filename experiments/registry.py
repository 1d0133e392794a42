"""Finds the specs: every module of the given packages that has an `EXPERIMENT`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence

from experiments.spec import Experiment
from sftok.config import ConfigError, choices_hint


def discover(packages: Sequence[str]) -> dict[str, Experiment]:
    """The experiments by name, in the order of their names.

    Raises:
        ConfigError: two modules use one name.
    """
    found: dict[str, Experiment] = {}
    for package_name in packages:
        package = importlib.import_module(package_name)
        for module_info in pkgutil.iter_modules(package.__path__, f"{package_name}."):
            experiment = getattr(importlib.import_module(module_info.name), "EXPERIMENT", None)
            if experiment is None:
                continue
            if experiment.name in found:
                raise ConfigError(f"{module_info.name}: an experiment {experiment.name!r} exists already")
            found[experiment.name] = experiment
    return dict(sorted(found.items()))


def pick(experiments: dict[str, Experiment], name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        ConfigError: no such experiment; the message lists the choices.
    """
    if name not in experiments:
        raise ConfigError(f"unknown experiment {name!r}: {choices_hint(name, experiments)}")
    return experiments[name]
