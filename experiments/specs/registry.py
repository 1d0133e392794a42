"""Finds the specs: every module of the given packages that has an `EXPERIMENT` or a `STUDY`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence

from experiments.spec import Experiment, Row
from experiments.study import Study
from sftok.config import ConfigError, choices_hint


def discover(packages: Sequence[str]) -> dict[str, Experiment]:
    """The experiments by name, in the paper's order, with the rows that they take from one another.

    Raises:
        ConfigError: two modules use one name, or a row refers to one that is not there.
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
    in_order = sorted(found.values(), key=lambda experiment: experiment.place)
    return {experiment.name: _completed(experiment, found) for experiment in in_order}


def discover_studies(packages: Sequence[str]) -> dict[str, Study]:
    """The studies by name: every module of `packages` that has a `STUDY`.

    Raises:
        ConfigError: two modules use one name.
    """
    found: dict[str, Study] = {}
    for package_name in packages:
        package = importlib.import_module(package_name)
        for module_info in pkgutil.iter_modules(package.__path__, f"{package_name}."):
            study = getattr(importlib.import_module(module_info.name), "STUDY", None)
            if study is None:
                continue
            if study.name in found:
                raise ConfigError(f"{module_info.name}: a study {study.name!r} exists already")
            found[study.name] = study
    return dict(sorted(found.items()))


def pick_study(studies: Mapping[str, Study], name: str) -> Study:
    """The study of that name.

    Raises:
        ConfigError: no such study; the message lists the choices.
    """
    if name not in studies:
        raise ConfigError(f"unknown study {name!r}: {choices_hint(name, studies)}")
    return studies[name]


def _completed(experiment: Experiment, found: Mapping[str, Experiment]) -> Experiment:
    """`experiment` with its borrowed rows: numbers and settings live once, in the table they are of."""
    if not any(row.as_in for row in experiment.rows):
        return experiment
    rows = [_borrowed(experiment, row, found) if row.as_in else row for row in experiment.rows]
    return Experiment.build({**dict(experiment), "rows": rows})


def _borrowed(
    experiment: Experiment, row: Row, found: Mapping[str, Experiment], borrowers: tuple[str, ...] = ()
) -> Row:
    """`row` filled in from where it stands, which may have borrowed it in turn."""
    lender = pick(dict(found), row.as_in)
    if lender.name in (experiment.name, *borrowers):
        raise ConfigError(
            f"{experiment.name}: row {row.name!r} stands in {lender.name}, which borrows it back"
        )
    names = [each.name for each in lender.rows]
    if row.name not in names:
        raise ConfigError(
            f"{experiment.name}: {lender.name} has no row {row.name!r}; {choices_hint(row.name, names)}"
        )
    lent = lender.row(row.name)
    if lent.as_in:
        lent = _borrowed(lender, lent, found, (*borrowers, experiment.name))
    own = {name: getattr(row, name) for name in row.model_fields_set - {"as_in"}}
    return Row.build({**dict(lent), **own})


def pick(experiments: dict[str, Experiment], name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        ConfigError: no such experiment; the message lists the choices.
    """
    if name not in experiments:
        raise ConfigError(f"unknown experiment {name!r}: {choices_hint(name, experiments)}")
    return experiments[name]
