"""From options to values: which one wins, what is refused, where a given teacher is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from experiments.commands.options import PlanOptions, ValueOptions
from experiments.commands.plans import chosen_overlay, plan_all, require_images, set_and_data
from experiments.paper import table4
from experiments.profiles import PROFILES
from experiments.recipe import resolve
from sftok.config import ConfigError
from sftok.data import DataError


def chosen(*pairs: tuple[str, Any]) -> dict[str, Any]:
    return chosen_overlay(ValueOptions(overrides=pairs))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("pair", [("teacher.checkpoint", "t.bin"), ("teacher", {"checkpoint": "t.bin"})])
def test_the_path_of_a_teacher_becomes_absolute(here: Path, pair: tuple[str, Any]) -> None:
    (here / "t.bin").touch()
    assert chosen(pair)["teacher.checkpoint"] == str(here / "t.bin")


def test_a_hub_id_and_a_name_that_no_file_can_have_stay(here: Path) -> None:
    assert chosen(("teacher.checkpoint", "org/name"))["teacher.checkpoint"] == "org/name"
    long = "x" * 5000
    assert chosen(("teacher.checkpoint", long))["teacher.checkpoint"] == long


def test_an_object_leaves_what_it_does_not_name(here: Path) -> None:
    """On the command line, which wins, as in an overlay file."""
    (here / "best.json").write_text('{"stage1": {"steps": 5, "training": {"batch_size": 8}}}')
    given = (("stage1", {"steps": 1}), ("stage2.training.optimizers", {}))
    overlay = chosen_overlay(ValueOptions(overlay=here / "best.json", overrides=given))
    assert overlay == {"stage1.steps": 1, "stage1.training.batch_size": 8, "stage2.training.optimizers": {}}
    assert resolve(PROFILES["smoke"].overlay, overlay).stage1.training.precision == "bf16"


def test_without_a_teacher_no_file_is_taken_for_one(here: Path) -> None:
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
def test_overlapping_values_are_refused(here: Path, content: str, named: str) -> None:
    """Otherwise one would silently replace a profile's values by the defaults."""
    (here / "best.json").write_text(content)
    options = ValueOptions(overlay=here / "best.json", overrides=(("stage1.steps", 1),))
    with pytest.raises(ConfigError, match=named):
        chosen_overlay(options)


@pytest.mark.parametrize("pair", [("data.path", "b"), ("data", {"source": "shards"}), ("data", 1)])
def test_the_place_of_the_data_is_given_once(here: Path, pair: tuple[str, Any]) -> None:
    (here / "a").mkdir()
    with pytest.raises(ConfigError, match=r"--data and --set data.* both set the data"):
        set_and_data([pair], here / "a")
    assert set_and_data([("data.image_size", 32)], here / "a") == {
        "data.image_size": 32,
        "data.source": "folder",
        "data.path": str(here / "a"),
    }


def test_data_must_be_a_folder(here: Path) -> None:
    (here / "cat.png").touch()
    for name, problem in (("cat.png", "is a file, not a folder"), ("dog.png", "no such folder")):
        with pytest.raises(DataError, match=problem):
            set_and_data([], here / name)


def test_a_batch_larger_than_the_training_split_is_refused_before_anything_is_made(here: Path) -> None:
    for split in ("train", "val"):
        for number in range(12):
            file = here / "images" / split / f"class{number % 2}" / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (28, 28), 20 * number).save(file)
    given = (("data.validation_images", 2), ("teacher.training.batch_size", 4), ("teacher.steps", 2))
    options = PlanOptions(profile="smoke", overrides=given, data=here / "images")
    (plan,), data = plan_all(options, [table4.EXPERIMENT])
    with pytest.raises(DataError, match=r"batch size \d+ exceeds the 10 training images; lower"):
        require_images(plan.artifacts, data)
    smaller = tuple(
        (f"{part}.training.batch_size", 4) for part in ("classifier", "judges", "stage1", "stage2")
    )
    (plan,), data = plan_all(replace(options, overrides=given + smaller), [table4.EXPERIMENT])
    require_images(plan.artifacts, data)
