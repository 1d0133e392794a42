"""From options to a plan: shared by the commands that plan."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.arguments import overrides
from experiments.combined import ALL
from experiments.datasets import DataSets
from experiments.plan import Plan, plan
from experiments.profiles import PROFILES
from experiments.recipe import resolve
from experiments.registry import discover, pick
from experiments.spec import Experiment
from sftok.data import DataError


def chosen_experiment(options: argparse.Namespace, spec_packages: tuple[str, ...]) -> Experiment:
    """The experiment that the options name."""
    return pick(discover(spec_packages), options.experiment)


def chosen_overlay(options: argparse.Namespace) -> dict[str, Any]:
    """`--set` and `--data` as one overlay."""
    chosen = overrides(options.overrides)
    if options.data is not None:
        chosen |= data_overlay(options.data)
    return chosen


def make_plans(options: argparse.Namespace, spec_packages: tuple[str, ...]) -> tuple[list[Plan], DataSets]:
    """The plan of each experiment that the options name (`all` of them), and the data they were made for.

    Raises:
        ConfigError: an unknown name or key, or a value out of range; found before the data is touched.
        DataError: the data cannot be used.
    """
    known = discover(spec_packages)
    experiments = list(known.values()) if options.experiment == ALL else [pick(known, options.experiment)]
    profile, overlay = PROFILES[options.profile], chosen_overlay(options)
    recipe = resolve(profile.overlay, overlay)

    def planned(fingerprints: Mapping[str, str]) -> list[Plan]:
        return [plan(each, profile, options.seeds, overlay, fingerprints) for each in experiments]

    # Wrong values in any row are found with stand-in fingerprints first: reading the data may take minutes.
    planned({"train": "", "validation": "", "test": ""})
    data = DataSets(recipe.data)
    return planned(data.fingerprints(recipe.evaluation.split)), data


def data_overlay(path: Path) -> dict[str, Any]:
    """`--data` as an overlay: Fashion-MNIST's four files, WebDataset shards, or images in class sub-folders.

    Raises:
        DataError: there is no such folder.
    """
    if not path.is_dir():
        raise DataError(f"--data {path}: no such folder")
    if any(path.glob("train-images-idx3-ubyte*")):
        source = "fashion-mnist"
    else:
        source = "shards" if any(path.glob("*.tar")) or any(path.glob("train/*.tar")) else "folder"
    return {"data.source": source, "data.path": str(path.absolute())}
