"""From options to values: where a given teacher lies."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from experiments.commands.planning import chosen_overlay
from experiments.profiles import PROFILES
from experiments.recipe import resolve
from sftok.config import ConfigError


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
