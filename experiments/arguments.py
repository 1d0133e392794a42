"""The command line: what `python -m experiments` takes. Everything else is configuration (`--set`)."""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

from sftok.config import ConfigError, overlap

DEFAULT_STORE = Path("runs")
MOST_SEEDS = 100
"""As a number of them: a larger one is most likely a seed."""

EXECUTORS = ("inline", "local", "slurm")
PROFILE_NAMES = ("smoke", "cpu", "gpu", "paper")


def parser() -> argparse.ArgumentParser:
    """The parser with every command."""
    root = argparse.ArgumentParser(
        prog="python -m experiments",
        description="Re-run the tables and figures of the SFTok paper, and ablations of it.",
        epilog="start with: python -m experiments run table4",
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = commands.add_parser("list", help="name every experiment")
    _format(command, ("text", "json"))

    command = commands.add_parser("show", help="print an experiment: rows, claims, resolved configuration")
    command.add_argument("experiment")
    _planning(command)
    _format(command, ("text", "json"))

    command = commands.add_parser(
        "run", help="train, evaluate and report an experiment; finished work is never repeated"
    )
    command.add_argument("experiment", help="a name that `list` prints, or all")
    _planning(command)
    _store(command)
    command.add_argument("--dry-run", action="store_true", help="print the plan and its cost, and stop")
    command.add_argument("--yes", action="store_true", help="do not ask before a long run")
    _executor(command)

    _sweep_command(commands)
    _study_command(commands)

    command = commands.add_parser("status", help="what is done, running, waiting or failed, and why")
    command.add_argument("experiment", nargs="?")
    _store(command)
    _format(command, ("text", "json"))

    command = commands.add_parser("report", help="rebuild the HTML pages from the stored results")
    _store(command)

    command = commands.add_parser("evaluate", help="measure a checkpoint under the full protocol")
    command.add_argument(
        "checkpoint", help="a file, a folder, a hub id, or random:NAME for untrained weights"
    )
    command.add_argument(
        "--teacher", type=Path, metavar="FILE", help="for a checkpoint without pixel decoder"
    )
    command.add_argument("--seed", type=seed, default=0, help="of random weights (default: %(default)s)")
    command.add_argument(
        "--steps", type=steps, metavar="A-B|A,B,...", help="of decoding (default: 1,2,4,8,16)"
    )
    _overrides(command, "evaluation.temperature=0; repeatable; a wrong key lists them")
    _data(command)
    _store(command)
    _format(command, ("text", "csv", "json"))

    command = commands.add_parser("results", help="print the stored numbers as flat rows")
    command.add_argument("experiment")
    command.add_argument("--profile", choices=PROFILE_NAMES, help="default: of the latest run")
    _store(command)
    _format(command, ("csv", "json"))

    command = commands.add_parser("verdicts", help="print what the stored numbers say of each claim")
    command.add_argument("experiment", nargs="?", help="default: all that were run")
    command.add_argument("--profile", choices=PROFILE_NAMES, help="default: of each one's latest run")
    _store(command)
    _format(command, ("text", "csv", "json", "markdown"))
    _cluster_commands(commands)
    return root


def _sweep_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "sweep",
        help="run an experiment's recipe over a grid or a list of values",
        description=(
            "The rows of EXPERIMENT are replaced by one for each combination of values. What all its rows "
            "change alike stays, every other value is the profile's and --set's; so also a key in which its "
            "own rows differ can be swept. Artifacts are shared with every table whose keys agree."
        ),
    )
    command.add_argument("experiment", help="a name that `list` prints")
    command.add_argument(
        "--grid",
        action="append",
        default=[],
        type=grid,
        metavar="KEY=A,B,...",
        help="values of a configuration key; several grids make every combination",
    )
    command.add_argument(
        "--list",
        action="append",
        default=[],
        type=combination,
        metavar="KEY=A,KEY2=B",
        help="one combination of values; repeat it for each. With --grid, each under the whole grid",
    )
    _planning(command)
    _store(command)
    command.add_argument("--dry-run", action="store_true", help="print the plan and its cost, and stop")
    command.add_argument("--yes", action="store_true", help="do not ask before a long run")
    _executor(command)


def _study_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "study",
        help="search for the best values of a study; it resumes, and several processes may share it",
        description=(
            "Trials are drawn by the study's sampler and measured on the validation split. The same line "
            "in another terminal joins in; typed again, it goes on."
        ),
    )
    command.add_argument("study", help="a study that `list` prints")
    _profile(command)
    command.add_argument(
        "--trials", type=positive, metavar="N", help="how many in all (default: what the study says)"
    )
    command.add_argument(
        "--workers",
        type=positive,
        default=1,
        metavar="N",
        help="processes, or jobs, at once (default: %(default)s)",
    )
    command.add_argument(
        "--executor",
        choices=("inline", "slurm"),
        default="inline",
        help="here, or as jobs of a cluster that share the study (default: %(default)s)",
    )
    _cluster(command, "the profile's resources")
    _values(command)
    _store(command)


def _executor(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--executor",
        choices=EXECUTORS,
        default="inline",
        help="in this process, by workers on this machine, or as jobs of a cluster (default: %(default)s)",
    )
    command.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="for --executor local: how many at once; they share the cores (default: what the cores feed)",
    )
    _cluster(command, "the profile's resources")


def _cluster(command: argparse.ArgumentParser, default: str) -> None:
    command.add_argument(
        "--cluster",
        type=Path,
        metavar="FILE",
        help=f"TOML with partition, gpus, memory, time ... by kind of artifact (default: {default})",
    )


def _cluster_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("logs", help="print the log of the job that makes, or made, an artifact")
    command.add_argument("artifact", help="its name as `status` shows it, or the beginning of it")
    command.add_argument("--lines", type=positive, metavar="N", help="only the last N (default: all)")
    _store(command)

    command = commands.add_parser("cancel", help="cancel the cluster jobs of an experiment")
    command.add_argument("experiment")
    _store(command)

    command = commands.add_parser("retry", help="queue again what failed on the cluster; it resumes")
    command.add_argument("experiment")
    command.add_argument(
        "--failed",
        action="store_true",
        required=True,
        help="what failed or was cancelled, and what that blocked",
    )
    _cluster(command, "as submitted before")
    _store(command)

    command = commands.add_parser(
        "collect", help="take in what cluster jobs made: track it, rebuild the pages"
    )
    command.add_argument("experiment", nargs="?")
    _store(command)


def _planning(command: argparse.ArgumentParser) -> None:
    _profile(command)
    command.add_argument(
        "--seeds",
        type=seeds,
        default=(0,),
        metavar="N|A,B,...",
        help="one number is how many: 3 is seeds 0, 1, 2; with a comma they are named: `4,7`, or `4,` for "
        "seed 4 alone (default: seed 0); intervals need two or more",
    )
    _values(command)


def _values(command: argparse.ArgumentParser) -> None:
    _overrides(command, "stage1.steps=500; repeatable; `show` lists the keys")
    command.add_argument(
        "--overlay",
        type=Path,
        metavar="FILE",
        help="JSON with configuration values by key, such as a study's best.json; --set goes over it",
    )
    _data(command)


def _profile(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--profile", choices=PROFILE_NAMES, default="cpu", help="the scale (default: %(default)s)"
    )


def _overrides(command: argparse.ArgumentParser, example: str) -> None:
    command.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        type=assignment,
        metavar="KEY=VALUE",
        help=f"override a configuration value, e.g. {example}",
    )


def _data(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="a folder: images in class sub-folders, WebDataset shards, or Fashion-MNIST's four files",
    )


def _store(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--store", type=Path, default=DEFAULT_STORE, metavar="DIR", help="results (default: %(default)s)"
    )


def _format(command: argparse.ArgumentParser, choices: tuple[str, ...]) -> None:
    command.add_argument("--format", choices=choices, default=choices[0], help="default: %(default)s")


def seeds(text: str) -> tuple[int, ...]:
    """`3` is seeds 0, 1, 2; `4,7` is seeds 4 and 7; `4,` is seed 4 alone."""
    if text.isdigit() and int(text) > MOST_SEEDS:
        raise argparse.ArgumentTypeError(
            f'{text!r} is how many, and more than {MOST_SEEDS}; for seed {text} alone write "{text},"'
        )
    try:
        if "," in text:
            chosen = tuple(int(part) for part in text.split(",") if part.strip())
        else:
            chosen = tuple(range(int(text)))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number of seeds, or a list like 0,1,2") from None
    if not chosen or min(chosen) < 0 or len(set(chosen)) != len(chosen):
        raise argparse.ArgumentTypeError(f"{text!r}: at least one seed, none negative, none twice")
    return tuple(map(seed, map(str, chosen)))


def seed(text: str) -> int:
    """A seed, from 0; random generators take 63 bits."""
    if not text.isdigit() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r}: a seed is a whole number from 0 to {2**63 - 1}")
    return int(text)


def steps(text: str) -> tuple[int, ...]:
    """`1-16` is 1, 2, ..., 16; `1,2,4` is these."""
    try:
        if "-" in text:
            first, last = (int(part) for part in text.split("-"))
            chosen = tuple(range(first, last + 1))
        else:
            chosen = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write 1-16 or 1,2,4,8,16") from None
    if not chosen or min(chosen) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: at least one number of steps, none below 1")
    return chosen


def positive(text: str) -> int:
    """A number of workers or trials, at least one."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number, at least 1")
    return int(text)


def assignment(text: str) -> tuple[str, Any]:
    """`stage1.steps=500` as key and value; the value is JSON, or else the text itself."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise argparse.ArgumentTypeError(f"{text!r}: write KEY=VALUE, e.g. stage1.steps=500")
    return key.strip(), _value(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def grid(text: str) -> tuple[str, list[Any]]:
    """`stage2.replacement_ratio=0,0.5,1` as the key and its values; none may occur twice."""
    key, equals, values = text.partition("=")
    parts = _split(values)
    if not equals or not key.strip() or not all(parts):
        raise argparse.ArgumentTypeError(
            f"{text!r}: write KEY=A,B,..., e.g. stage2.replacement_ratio=0,0.5,1"
        )
    if twice := [part for part in parts if parts.count(part) > 1]:
        raise argparse.ArgumentTypeError(f"{text!r}: {twice[0]} is given twice")
    return key.strip(), [_value(part) for part in parts]


def combination(text: str) -> dict[str, Any]:
    """`stage1.steps=500,tokenizer_steps=4000` as values by key."""
    pairs = [assignment(part) for part in _split(text)]
    keys = [key for key, _ in pairs]
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise argparse.ArgumentTypeError(f"{text!r}: {twice[0]} is given twice")
    return dict(pairs)


def _split(text: str) -> list[str]:
    """`text` at its commas, but for those within brackets, braces or quotes."""
    parts, depth, quoted = [""], 0, False
    for character in text:
        quoted ^= character == '"'
        depth += 0 if quoted else (character in "[{") - (character in "]}")
        if character == "," and not quoted and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def overrides(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The `--set` pairs as an overlay.

    Raises:
        ConfigError: a key is set twice, or within another.
    """
    keys = [key for key, _ in pairs]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise ConfigError(f"--set {twice[0]} is given more than once")
    for outer, inner in itertools.permutations(keys, 2):
        if overlap(outer, inner):
            raise ConfigError(f"--set {outer} and --set {inner}: one lies within the other; give them as one")
    return dict(pairs)
