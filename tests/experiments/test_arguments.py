"""The command line is frozen: a new option is a decision, everything else is configuration."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from experiments.arguments import assignment, overrides, parser, seeds
from experiments.profiles import PROFILES
from sftok.config import ConfigError

VALUES = {"--set", "--overlay", "--data"}
PLANNING = {"--profile", "--seeds", *VALUES}
EXECUTOR = {"--executor", "--workers", "--cluster"}
OPTIONS = {
    "list": {"--format"},
    "show": {"experiment", *PLANNING, "--format"},
    "run": {"experiment", *PLANNING, "--store", "--dry-run", "--yes", *EXECUTOR},
    "sweep": {"experiment", "--grid", "--list", *PLANNING, "--store", "--dry-run", "--yes", *EXECUTOR},
    "study": {"study", "--profile", "--trials", "--workers", "--executor", "--cluster", *VALUES, "--store"},
    "status": {"experiment", "--store", "--format"},
    "report": {"--store"},
    "evaluate": {
        "checkpoint",
        "--teacher",
        "--seed",
        "--steps",
        "--set",
        "--data",
        "--store",
        "--format",
    },
    "results": {"experiment", "--profile", "--store", "--format"},
    "verdicts": {"experiment", "--profile", "--store", "--format"},
    "logs": {"artifact", "--lines", "--store"},
    "cancel": {"experiment", "--store"},
    "retry": {"experiment", "--failed", "--cluster", "--store"},
    "collect": {"experiment", "--store"},
}


def test_no_new_options() -> None:
    (commands,) = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    found = {
        name: {
            (action.option_strings or [action.dest])[-1]
            for action in command._actions
            if not isinstance(action, argparse._HelpAction)
        }
        for name, command in commands.choices.items()
    }
    assert found == OPTIONS


def test_profiles_of_the_command_line_are_the_profiles_there_are() -> None:
    for name in PROFILES:
        assert parser().parse_args(["run", "table4", "--profile", name]).profile == name
    with pytest.raises(SystemExit) as exit_info:
        parser().parse_args(["run", "table4", "--profile", "cpuu"])
    assert exit_info.value.code == 2


@pytest.mark.parametrize(("text", "expected"), [("1", (0,)), ("3", (0, 1, 2)), ("4,7", (4, 7)), ("4,", (4,))])
def test_seeds(text: str, expected: tuple[int, ...]) -> None:
    assert seeds(text) == expected


@pytest.mark.parametrize("text", ["0", "-1", "x", "1,1", ",", "1,-2", "", f"{2**63},"])
def test_seeds_that_make_no_sense(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        seeds(text)


def test_a_seed_in_place_of_their_number_is_told_how() -> None:
    assert len(seeds("100")) == 100
    with pytest.raises(argparse.ArgumentTypeError, match='for seed 20240101 alone write "20240101,"'):
        seeds("20240101")
    assert seeds("20240101,") == (20240101,)


@pytest.mark.parametrize("text", ["-1", "99999999999999999999", "1.5", "", "٣x"])
def test_a_seed_that_no_generator_takes(text: str) -> None:
    assert parser().parse_args(["evaluate", "x", "--seed", "7"]).seed == 7
    with pytest.raises(SystemExit):
        parser().parse_args(["evaluate", "x", "--seed", text])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=3", 3),
        ("a.b=0.5", 0.5),
        ("a.b=[1,2]", [1, 2]),
        ("a.b=true", True),
        ("a.b=arccos", "arccos"),
        ("a.b=", ""),
        ("a.b=x=y", "x=y"),
    ],
)
def test_assignment(text: str, value: Any) -> None:
    assert assignment(text) == ("a.b", value)


@pytest.mark.parametrize("text", ["a.b", "=3", ""])
def test_assignment_without_a_key(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="KEY=VALUE"):
        assignment(text)


@pytest.mark.parametrize("keys", [("stage1", "stage1.training.batch_size"), ("stage1.steps", "stage1")])
def test_a_key_set_within_another_is_refused(keys: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"--set stage1.* lies within the other"):
        overrides([(key, 1) for key in keys])


def test_a_key_set_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"stage1\.steps is given more than once"):
        overrides([("stage1.steps", 1), ("stage1.steps", 2)])
