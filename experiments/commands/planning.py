"""From options to a plan: shared by the commands that plan."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.arguments import overrides
from experiments.artifacts import Artifact
from experiments.executors.datasets import DataSets
from experiments.planning.combined import ALL
from experiments.planning.generation import splits_read
from experiments.planning.given_teacher import WEIGHTS, weights_fingerprint
from experiments.planning.plan import Plan, plan
from experiments.profiles import PROFILES
from experiments.recipe import flat, resolve
from experiments.registry import discover, pick
from experiments.spec import Experiment
from sftok.config import ConfigError, overlap
from sftok.data import DataError

GIVEN_TEACHER = "teacher.checkpoint"


def chosen_overlay(options: argparse.Namespace) -> dict[str, Any]:
    """`--overlay`, `--set` and `--data` as one overlay, the later the stronger.

    Objects are taken apart: `stage1={"steps": 500}` leaves the rest of stage 1 as it is, wherever it stands.

    Raises:
        ConfigError: two of them set the same thing in a way of which none is the stronger.
        DataError: `--data` is no folder.
    """
    chosen = {} if options.overlay is None else overlay_file(options.overlay)
    chosen |= set_and_data(options)
    _refuse_overlaps(chosen)
    teacher = flat(chosen).get(GIVEN_TEACHER)
    with contextlib.suppress(OSError):  # no name that a file can have
        if isinstance(teacher, str) and teacher and Path(teacher).exists():
            # Jobs and workers start elsewhere.
            chosen[GIVEN_TEACHER] = str(Path(teacher).absolute())
    return chosen


def set_and_data(options: argparse.Namespace) -> dict[str, Any]:
    """`--set` and `--data` by dotted key.

    Raises:
        ConfigError: both say where the data is.
        DataError: `--data` is no folder.
    """
    chosen = flat(overrides(options.overrides))
    if options.data is None:
        return chosen
    data = data_overlay(options.data)
    for key in chosen:
        if any(overlap(key, other) for other in data):
            raise ConfigError(f"--data and --set {key} both say where the data is; give one of them")
    return chosen | data


def make_plans(options: argparse.Namespace, spec_packages: tuple[str, ...]) -> tuple[list[Plan], DataSets]:
    """The plan of each experiment that the options name (`all` of them), and the data they were made for.

    Raises:
        ConfigError: an unknown name or key, or a value out of range; found before the data is touched.
        DataError: the data cannot be used.
    """
    known = discover(spec_packages)
    experiments = list(known.values()) if options.experiment == ALL else [pick(known, options.experiment)]
    return plan_all(options, experiments)


def plan_all(
    options: argparse.Namespace,
    experiments: Sequence[Experiment],
    check: Callable[[Plan], None] | None = None,
) -> tuple[list[Plan], DataSets]:
    """The plans of `experiments` as the options say; `check` may refuse one before the data is touched.

    Raises:
        ConfigError: as `make_plans`, or what `check` raises.
        DataError: the data cannot be used.
    """
    profile, overlay = PROFILES[options.profile], chosen_overlay(options)
    recipe = resolve(profile.overlay, overlay)

    def planned(fingerprints: Mapping[str, str]) -> list[Plan]:
        return [plan(each, profile, options.seeds, overlay, fingerprints) for each in experiments]

    # Wrong values in any row are found with stand-in fingerprints first: reading the data may take minutes.
    for each in planned({"train": "", "validation": "", "test": "", WEIGHTS: ""}):
        if check is not None:
            check(each)
    data = DataSets(recipe.data)
    splits = {recipe.evaluation.split, *splits_read(experiments, recipe)}
    weights = weights_fingerprint(recipe)
    return planned({**data.fingerprints(*sorted(splits)), **weights}), data


def require_images(artifacts: Iterable[Artifact], data: DataSets) -> None:
    """Refuse to train on fewer images than a batch has: found here, not hours later.

    Raises:
        DataError: names the artifact and both numbers.
    """
    images = data.size("train")
    for artifact in artifacts:
        size = artifact.config.get("training", {}).get("batch_size", 0)
        if size > images:
            raise DataError(
                f"{artifact.label}: a batch of {size} is more than the {images} training images; lower its "
                "training.batch_size (`show` names the keys), or give more images"
            )


def overlay_file(path: Path) -> dict[str, Any]:
    """The values of a JSON file, by dotted key.

    Raises:
        ConfigError: there is no such file, or it is not an object of values.
    """
    try:
        values = json.loads(path.read_text(), object_pairs_hook=_each_once)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--overlay {path}: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f'--overlay {path}: write one object, such as {{"stage1.steps": 500}}')
    _refuse_overlaps(key for name, value in values.items() for key in flat({name: value}))
    return flat(values)


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is given more than once")
    return dict(pairs)


def _refuse_overlaps(keys: Iterable[str]) -> None:
    for one, other in itertools.combinations(keys, 2):
        if overlap(one, other):
            raise ConfigError(f"{one} and {other} set the same thing; give one of them")


def data_overlay(path: Path) -> dict[str, Any]:
    """`--data` as an overlay: Fashion-MNIST's four files, WebDataset shards, or images in class sub-folders.

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
