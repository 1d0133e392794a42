"""Builds plans from options, for all commands that plan."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.artifacts.base import Artifact
from experiments.artifacts.teacher import WEIGHTS, given_weights
from experiments.commands.options import PlanOptions, ValueOptions, assigned
from experiments.executors.datasets import DataSets
from experiments.planning.plan import Plan, plan, splits_read
from experiments.profiles import PROFILES
from experiments.recipe import resolve
from experiments.specs import Experiment
from sftok.config import ConfigError, flat, overlap
from sftok.data import DataError

GIVEN_TEACHER = "teacher.checkpoint"

STAND_INS = {"train": "", "validation": "", "test": "", WEIGHTS: ""}
"""Placeholder fingerprints, to find wrong values before the data is read, which may take minutes."""


def chosen_overlay(options: ValueOptions) -> dict[str, Any]:
    """`--overlay`, `--set` and `--data` combined into one overlay; later options take precedence.

    Objects are split into keys: `stage1={"steps": 500}` leaves the rest of stage 1 unchanged.

    Raises:
        ConfigError: the keys of two options overlap.
        DataError: `--data` is not a folder.
    """
    chosen = {} if options.overlay is None else overlay_file(options.overlay)
    chosen |= set_and_data(options.overrides, options.data)
    _refuse_overlaps(chosen)
    teacher = flat(chosen).get(GIVEN_TEACHER)
    with contextlib.suppress(OSError):  # not a valid file name
        if isinstance(teacher, str) and teacher and Path(teacher).exists():
            # Jobs and workers start in other folders.
            chosen[GIVEN_TEACHER] = str(Path(teacher).absolute())
    return chosen


def set_and_data(overrides: Sequence[tuple[str, Any]], data: Path | None) -> dict[str, Any]:
    """`--set` and `--data` by dotted key.

    Raises:
        ConfigError: both set the data.
        DataError: `--data` is not a folder.
    """
    chosen = flat(assigned(overrides))
    located = {} if data is None else data_overlay(data)
    for key, other in itertools.product(chosen, located):
        if overlap(key, other):
            raise ConfigError(f"--data and --set {key} both set the data; use only one")
    return chosen | located


def plan_all(
    options: PlanOptions,
    experiments: Sequence[Experiment],
    check: Callable[[Plan], None] = lambda _: None,
) -> tuple[list[Plan], DataSets]:
    """The plans of `experiments` and their data; `check` may refuse a plan before the data is read.

    Raises:
        ConfigError: a key is unknown, a value is out of range, or `check` refuses a plan.
        DataError: the data cannot be used.
    """
    profile, overlay = PROFILES[options.profile], chosen_overlay(options)
    recipe = resolve(profile.overlay, overlay)

    def planned(fingerprints: Mapping[str, str]) -> list[Plan]:
        return [plan(each, profile, options.seeds, overlay, fingerprints) for each in experiments]

    for each in planned(STAND_INS):
        check(each)
    data = DataSets(recipe.data)
    fingerprints = data.fingerprints(*sorted(splits_read(experiments, recipe)))
    return planned({**fingerprints, **given_weights(recipe)}), data


def require_images(artifacts: Iterable[Artifact], data: DataSets) -> None:
    """Refuse batches larger than the training split now rather than hours later.

    Raises:
        DataError: a batch is too large; names the artifact and both numbers.
    """
    images = data.size("train")
    for artifact in artifacts:
        size = artifact.training_batch or 0
        if size > images:
            raise DataError(
                f"{artifact.label}: batch size {size} exceeds the {images} training images; lower "
                "training.batch_size (`show` lists the keys), or use more images"
            )


def overlay_file(path: Path) -> dict[str, Any]:
    """The values of a JSON file, by dotted key.

    Raises:
        ConfigError: the file is missing, or does not hold one JSON object.
    """
    try:
        values = json.loads(path.read_text(), object_pairs_hook=_each_once)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--overlay {path}: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f'--overlay {path}: must hold one JSON object, such as {{"stage1.steps": 500}}')
    _refuse_overlaps(key for name, value in values.items() for key in flat({name: value}))
    return flat(values)


def data_overlay(path: Path) -> dict[str, Any]:
    """`--data` as an overlay: Fashion-MNIST's four files, WebDataset shards, or images in class subfolders.

    Raises:
        DataError: there is no such folder.
    """
    if not path.is_dir():
        problem = "is a file, not a folder" if path.is_file() else "no such folder"
        raise DataError(f"--data {path}: {problem}")
    if any(path.glob("train-images-idx3-ubyte*")):
        source = "fashion-mnist"
    else:
        source = "shards" if any(path.glob("*.tar")) or any(path.glob("train/*.tar")) else "folder"
    return {"data.source": source, "data.path": str(path.absolute())}


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is given more than once")
    return dict(pairs)


def _refuse_overlaps(keys: Iterable[str]) -> None:
    for one, other in itertools.combinations(keys, 2):
        if overlap(one, other):
            raise ConfigError(f"{one} and {other} overlap; use only one")
