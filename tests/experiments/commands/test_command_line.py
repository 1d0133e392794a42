"""The command line is frozen: a new option is a decision, everything else is configuration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from experiments import commands
from experiments.__main__ import main
from experiments.commands.evaluate import read_steps
from experiments.commands.options import ProfileName, assigned, read_assignment, read_seeds
from experiments.commands.sweep import read_combination, read_grid
from experiments.profiles import PROFILES
from sftok.config import ConfigError

sys.path.insert(0, str(Path(__file__).parent))
from light import assert_light

VALUES = {"--profile", "--set", "--overlay", "--data"}
PLANNING = {*VALUES, "--seeds"}
EXECUTOR = {"--executor", "--workers", "--cluster"}
RUN = {"EXPERIMENT", *PLANNING, "--store", "--dry-run", "--yes", *EXECUTOR}
OPTIONS = {
    "list": {"--format"},
    "show": {"EXPERIMENT", *PLANNING, "--format"},
    "run": {*RUN, "--released"},
    "sweep": {*RUN, "--grid", "--list"},
    "study": {"STUDY", *VALUES, "--trials", *EXECUTOR, "--store"},
    "status": {"EXPERIMENT", "--store", "--format"},
    "report": {"EXPERIMENT", "--store"},
    "evaluate": {
        *(
            "CHECKPOINT",
            "--tokenizer",
            "--reconstructions",
            "--samples",
            "--reference",
            "--pair",
            "--quality",
            "--explain",
            "--bootstrap",
            "--per-class",
            "--probe",
        ),
        *("--teacher", "--seed", "--steps", "--set", "--data", "--store", "--format"),
    },
    "compare": {"A", "B", "--store", "--format"},
    "merge": {"STORES", "--store"},
    "results": {"EXPERIMENT", "--profile", "--store", "--format"},
    "verdicts": {"EXPERIMENT", "--profile", "--store", "--format"},
    "logs": {"ARTIFACT", "--lines", "--store"},
    "cancel": {"EXPERIMENT", "--store"},
    "retry": {"EXPERIMENT", "--failed", "--cluster", "--store"},
    "collect": {"EXPERIMENT", "--store"},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_command_takes_these_options_and_no_others(name: str) -> None:
    found = commands.application()[name].assemble_argument_collection()
    assert {argument.name for argument in found if argument.parse and argument.show} == OPTIONS[name]


def test_every_command_is_listed() -> None:
    assert commands.COMMANDS.keys() == OPTIONS.keys()


def test_the_profiles_of_the_command_line_are_those_that_exist() -> None:
    assert get_args(ProfileName) == tuple(PROFILES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "Usage: python -m experiments COMMAND"),
        ("rum table4", "rum: unknown command; did you mean 'run'?"),
        ("run", "run: EXPERIMENT is missing"),
        ("run table4 table3", "run: unexpected argument 'table3'"),
        ("run table4 --sed 3", "--sed. Did you mean --seed"),
        ("run table4 --profile cpuu", 'Invalid value "cpuu" for --profile. Choose from: "smoke", "cpu"'),
        ("run table4 --profile", "--profile needs a value"),
        (
            "run table4 --seeds 150",
            "'150' means 150 seeds; the limit is 100. For the single seed 150 write '150,'.",
        ),
        ("run table4 --seeds -1", "at least one seed"),
        ("run table4 --workers 2", "run: --workers is for --executor local"),
        ("run table4 --cluster x.toml", "run: --cluster is for --executor slurm"),
        ("run table44", "did you mean 'table4'"),
        ("run no_such_file.py", "no_such_file.py: no such file"),
        ("sweep table4", "give --grid"),
        ("evaluate x --seed 1.5", "'1.5': give a whole number from 0"),
        ("evaluate x --seed ٣", "give a whole number from 0"),
        (f"evaluate x --seed {2**63}", f"give a whole number from 0 to {2**63 - 1}"),
        ("retry table4", "retry: --failed is missing"),
        ("logs x --lines 0", "'0': give a whole number from 1"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.split()) == 2
    printed = capsys.readouterr()
    assert message in " ".join((printed.out if not arguments else printed.err).split())
    assert len(printed.err.splitlines()) == (1 if arguments else 0)


@pytest.mark.parametrize("name", ["", *OPTIONS])
def test_help_is_plain_text_and_needs_no_torch(name: str) -> None:
    assert_light([*name.split(), "--help"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", (0,)), ("3", (0, 1, 2)), ("4,7", (4, 7)), ("4,", (4,)), ("20240101,", (20240101,))],
)
def test_seeds(text: str, expected: tuple[int, ...]) -> None:
    assert read_seeds(text) == expected


@pytest.mark.parametrize("text", ["0", "-1", "x", "1,1", ",", "1,-2", "", f"{2**63},", "101"])
def test_seeds_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"{text!r}"):
        read_seeds(text)


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
def test_a_value_is_json_or_text(text: str, value: Any) -> None:
    assert read_assignment(text) == ("a.b", value)


@pytest.mark.parametrize("text", ["a.b", "=3", ""])
def test_an_assignment_has_a_key(text: str) -> None:
    with pytest.raises(ValueError, match="KEY=VALUE"):
        read_assignment(text)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (("stage1", "stage1.training.batch_size"), r"--set stage1.* overlap"),
        (("stage1.steps", "stage1"), r"--set stage1.* overlap"),
        (("stage1.steps", "stage1.steps"), r"stage1\.steps is given more than once"),
    ],
)
def test_overlapping_keys_are_refused(keys: tuple[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        assigned([(key, 1) for key in keys])


@pytest.mark.parametrize(
    ("text", "steps"),
    [("1-4", (1, 2, 3, 4)), ("8", (8,)), ("1,2,16", (1, 2, 16)), ("x", None), ("0-2", None)],
)
def test_steps_are_a_range_or_a_list(text: str, steps: tuple[int, ...] | None) -> None:
    if steps is None:
        with pytest.raises(ValueError, match=text):
            read_steps(text)
    else:
        assert read_steps(text) == steps


def test_grids_and_lists_split_at_commas_outside_of_brackets() -> None:
    assert read_grid('a.b=1,[2,3],{"c": [4, 5]}') == ("a.b", [1, [2, 3], {"c": [4, 5]}])
    assert read_combination("a=[1,2],b=x") == {"a": [1, 2], "b": "x"}


@pytest.mark.parametrize("text", ["a=1,1", "a=", "=1", "a"])
def test_a_grid_without_values_of_its_own_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write KEY=A,B|given twice"):
        read_grid(text)


def test_reading_commands_name_what_was_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("status", "verdicts", "report", "collect"):
        assert main([command, "--store", str(tmp_path)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line == (
            f"{command}: store {tmp_path}: nothing was run here; try another --store, or: "
            f"python -m experiments run table4 --store {tmp_path}"
        )
