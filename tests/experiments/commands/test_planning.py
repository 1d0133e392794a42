"""From options to values: which is the stronger, what is refused, where a given teacher lies."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from experiments.commands.planning import chosen_overlay, make_plans, require_images, set_and_data
from experiments.profiles import PROFILES
from experiments.recipe import resolve
from sftok.config import ConfigError
from sftok.data import DataError


def chosen(*pairs: tuple[str, Any]) -> dict[str, Any]:
    return chosen_overlay(argparse.Namespace(overlay=None, overrides=list(pairs), data=None))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("pair", [("teacher.checkpoint", "t.bin"), ("teacher", {"checkpoint": "t.bin"})])
def test_a_file_of_here_is_found_from_elsewhere(here: Path, pair: tuple[str, Any]) -> None:
    (here / "t.bin").touch()
    assert chosen(pair)["teacher.checkpoint"] == str(here / "t.bin")


def test_a_hub_id_and_what_no_file_can_be_called_stay(here: Path) -> None:
    assert chosen(("teacher.checkpoint", "org/name"))["teacher.checkpoint"] == "org/name"
    long = "x" * 5000
    assert chosen(("teacher.checkpoint", long))["teacher.checkpoint"] == long


def test_an_object_leaves_what_it_does_not_name(here: Path) -> None:
    """On the line as in an overlay file, which it is the stronger of."""
    (here / "best.json").write_text('{"stage1": {"steps": 5, "training": {"batch_size": 8}}}')
    given = [("stage1", {"steps": 1}), ("stage2.training.players", {})]
    options = argparse.Namespace(overlay=here / "best.json", overrides=given, data=None)
    overlay = chosen_overlay(options)
    assert overlay == {"stage1.steps": 1, "stage1.training.batch_size": 8, "stage2.training.players": {}}
    assert resolve(PROFILES["smoke"].overlay, overlay).stage1.training.precision == "bf16"


def test_without_a_teacher_no_file_counts(here: Path) -> None:
    (here / "None").touch()
    assert chosen() == {}
    with pytest.raises(ConfigError, match=r"teacher\.checkpoint"):
        resolve(PROFILES["smoke"].overlay, chosen(("teacher.checkpoint", "")))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('{"stage1": 5}', "stage1 and stage1.steps"),
        ('{"stage1": null}', "stage1 and stage1.steps"),
        ('{"stage1": {"steps": {"more": 1}}}', "stage1.steps.more and stage1.steps"),
        ('{"stage1": {"steps": 20}, "stage1.steps": 30}', "stage1.steps and stage1.steps"),
        ('{"stage2": 1, "stage2": 2}', "stage2 is given more than once"),
    ],
)
def test_what_sets_the_same_thing_is_refused(here: Path, content: str, named: str) -> None:
    """Or the one would silently swap a profile's values for the defaults."""
    (here / "best.json").write_text(content)
    options = argparse.Namespace(overlay=here / "best.json", overrides=[("stage1.steps", 1)], data=None)
    with pytest.raises(ConfigError, match=named):
        chosen_overlay(options)


@pytest.mark.parametrize("pair", [("data.path", "b"), ("data", {"source": "shards"}), ("data", 1)])
def test_where_the_data_is_is_said_once(here: Path, pair: tuple[str, Any]) -> None:
    (here / "a").mkdir()
    with pytest.raises(ConfigError, match=r"--data and --set data.* both say where the data is"):
        set_and_data(argparse.Namespace(overrides=[pair], data=here / "a"))
    others = argparse.Namespace(overrides=[("data.image_size", 32)], data=here / "a")
    assert set_and_data(others) == {
        "data.image_size": 32,
        "data.source": "folder",
        "data.path": str(here / "a"),
    }


def test_a_file_is_no_folder_of_data(here: Path) -> None:
    (here / "cat.png").touch()
    for name, problem in (("cat.png", "is a file, not a folder"), ("dog.png", "no such folder")):
        with pytest.raises(DataError, match=problem):
            set_and_data(argparse.Namespace(overrides=[], data=here / name))


def test_a_batch_larger_than_the_training_split_is_refused_before_anything_is_made(here: Path) -> None:
    for split in ("train", "val"):
        for number in range(12):
            file = here / "images" / split / f"class{number % 2}" / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (28, 28), 20 * number).save(file)
    given = [("data.validation_images", 2), ("teacher.training.batch_size", 4), ("teacher.steps", 2)]
    options = argparse.Namespace(
        experiment="table4", profile="smoke", seeds=(0,), overlay=None, overrides=given, data=here / "images"
    )
    (plan,), data = make_plans(options, ("experiments.paper", "ablations"))
    with pytest.raises(DataError, match=r"a batch of \d+ is more than the 10 training images; lower its"):
        require_images(plan.artifacts, data)
    smaller = [(f"{part}.training.batch_size", 4) for part in ("classifier", "stage1", "stage2")]
    options.overrides = [*given, *smaller]
    (plan,), data = make_plans(options, ("experiments.paper", "ablations"))
    require_images(plan.artifacts, data)
