"""Finds the specs: each `EXPERIMENT` and `STUDY` in the modules of given packages or in a user's own file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from experiments.specs.experiment import Experiment, Row
from experiments.specs.own_file import import_file, source_of
from experiments.specs.study import Study
from sftok.config import ConfigError, choices_hint

Spec = TypeVar("Spec", Experiment, Study)


class Registry:
    """The specs of given packages and of the user's own files."""

    def __init__(self, packages: Sequence[str]):
        self._packages = tuple(packages)
        self.source: dict[str, str] = {}
        """The source of the added file, if any; see `experiments.specs.own_file`."""
        self._added: list[ModuleType] = []

    def add(self, path: Path) -> ModuleType:
        """Add the specs of a Python file.

        Raises:
            ConfigError: the file cannot be imported, or defines no spec.
        """
        module = import_file(path)
        if not any(hasattr(module, name) for name in ("EXPERIMENT", "STUDY")):
            raise ConfigError(f"{path}: defines neither an EXPERIMENT nor a STUDY")
        self._added.append(module)
        self.source = source_of(path)
        return module

    def experiments(self) -> dict[str, Experiment]:
        """The experiments by name, in the paper's order, with borrowed rows filled in.

        Raises:
            ConfigError: two experiments have the same name, or a row refers to one that does not exist.
        """
        found = self._find("EXPERIMENT", Experiment)
        in_order = sorted(found.values(), key=lambda experiment: experiment.place)
        return {experiment.name: _completed(experiment, found) for experiment in in_order}

    def studies(self) -> dict[str, Study]:
        """The studies by name.

        Raises:
            ConfigError: two studies have the same name.
        """
        return dict(sorted(self._find("STUDY", Study).items()))

    def experiment(self, name: str) -> Experiment:
        """The experiment with that name, or in a file `NAME.py`.

        Raises:
            ConfigError: the name is unknown; lists the choices.
        """
        named = self._named(name, "EXPERIMENT", Experiment)
        return pick(self.experiments(), named, "experiment")

    def study(self, name: str) -> Study:
        """The study with that name, or in a file `NAME.py`.

        Raises:
            ConfigError: the name is unknown; lists the choices.
        """
        named = self._named(name, "STUDY", Study)
        return pick(self.studies(), named, "study")

    def _named(self, name: str, attribute: str, kind: type[Spec]) -> str:
        """`name`, or the name of the spec in the file `name`."""
        if not name.endswith(".py"):
            return name
        return _spec_of(self.add(Path(name)), attribute, kind, name).name

    def _find(self, attribute: str, kind: type[Spec]) -> dict[str, Spec]:
        found: dict[str, Spec] = {}
        for module in self._modules():
            if not hasattr(module, attribute):
                continue
            spec = _spec_of(module, attribute, kind, module.__name__)
            if spec.name in found:
                what = kind.__name__.lower()
                raise ConfigError(f"{module.__name__}: another {what} is named {spec.name!r}")
            found[spec.name] = spec
        return found

    def _modules(self) -> Iterator[ModuleType]:
        for package in map(importlib.import_module, self._packages):
            for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
                yield importlib.import_module(info.name)
        yield from self._added


def _spec_of(module: ModuleType, attribute: str, kind: type[Spec], where: str) -> Spec:
    spec = getattr(module, attribute, None)
    if not isinstance(spec, kind):
        raise ConfigError(f"{where}: its {attribute} is not of type {kind.__name__}")
    return spec


def pick(specs: Mapping[str, Spec], name: str, what: str) -> Spec:
    """The spec with that name.

    Raises:
        ConfigError: the name is unknown; lists the choices.
    """
    if name not in specs:
        raise ConfigError(f"unknown {what} {name!r}: {choices_hint(name, specs)}")
    return specs[name]


def _completed(experiment: Experiment, found: Mapping[str, Experiment]) -> Experiment:
    """`experiment` with its borrowed rows filled in, so that numbers and settings are defined only once."""
    if not any(row.as_in for row in experiment.rows):
        return experiment
    rows = [_borrowed(experiment, row, found) if row.as_in else row for row in experiment.rows]
    return Experiment.build({**dict(experiment), "rows": rows})


def _borrowed(
    experiment: Experiment, row: Row, found: Mapping[str, Experiment], borrowers: tuple[str, ...] = ()
) -> Row:
    """`row` filled in from its lender, which may in turn have borrowed it."""
    lender = pick(found, row.as_in, "experiment")
    if lender.name in (experiment.name, *borrowers):
        raise ConfigError(f"{experiment.name}: row {row.name!r} is from {lender.name}, which borrows it back")
    names = [each.name for each in lender.rows]
    if row.name not in names:
        hint = choices_hint(row.name, names)
        raise ConfigError(f"{experiment.name}: {lender.name} has no row {row.name!r}; {hint}")
    lent = lender.row(row.name)
    if lent.as_in:
        lent = _borrowed(lender, lent, found, (*borrowers, experiment.name))
    own = {name: getattr(row, name) for name in row.model_fields_set - {"as_in"}}
    return Row.build({**dict(lent), **own})
