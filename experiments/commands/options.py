"""Options shared by several commands, and parsers for their values."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token

from sftok.config import ConfigError, overlap

DEFAULT_STORE = Path("runs")
MOST_SEEDS = 100
"""Maximum number of seeds; a larger number was most likely meant as a seed."""

LARGEST_SEED = 2**63 - 1
"""Random generators accept seeds of 63 bits."""

ProfileName = Literal["smoke", "cpu", "gpu", "paper"]


def text_of(read: Callable[[str], Any], *, repeatable: bool = False, **more: Any) -> Parameter:
    """An option whose text `read` parses; a repeatable option collects its values in a tuple."""

    def convert(type_: Any, tokens: Sequence[Token]) -> Any:
        values = tuple(read(token.value) for token in tokens)
        return values if repeatable else values[0]

    if repeatable:
        more["show_default"] = False
    return Parameter(converter=convert, n_tokens=1, allow_leading_hyphen=True, **more)


def whole_number(text: str, least: int = 1) -> int:
    """Parse a whole number of at least `least` that fits into 63 bits, as seeds must."""
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= LARGEST_SEED:
        raise ValueError(f"{text!r}: give a whole number from {least} to {LARGEST_SEED}")
    return int(text)


def read_seeds(text: str) -> tuple[int, ...]:
    """Parse seeds: `3` means 0, 1 and 2; `4,7` means 4 and 7; `4,` means only 4."""
    if text.isdigit() and int(text) > MOST_SEEDS:
        raise ValueError(
            f"{text!r} means {text} seeds; the limit is {MOST_SEEDS}. "
            f"For the single seed {text} write '{text},'."
        )
    try:
        named = [int(part) for part in text.split(",") if part.strip()] if "," in text else range(int(text))
    except ValueError:
        raise ValueError(f"{text!r}: give a number of seeds, or a list like 0,1,2") from None
    if not named or min(named) < 0 or max(named) > LARGEST_SEED or len(set(named)) != len(named):
        raise ValueError(
            f"{text!r}: give at least one seed; seeds must be distinct, from 0 to {LARGEST_SEED}"
        )
    return tuple(named)


def read_assignment(text: str) -> tuple[str, Any]:
    """Parse `stage1.steps=500` into key and value; a value that is not JSON is kept as text."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"{text!r}: write KEY=VALUE, e.g. device=cpu")
    return key.strip(), read_value(value)


def read_value(text: str) -> Any:
    """Parse JSON; other text is returned as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def assigned(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The `--set` pairs as an overlay.

    Raises:
        ConfigError: a key is set twice, or contains another.
    """
    keys = [key for key, _ in pairs]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise ConfigError(f"--set {twice[0]} is given more than once")
    for outer, inner in itertools.permutations(keys, 2):
        if overlap(outer, inner):
            raise ConfigError(f"--set {outer} and --set {inner} overlap; combine them")
    return dict(pairs)


Positive = Annotated[int, text_of(whole_number, metavar="N")]
Assignments = Annotated[
    tuple[tuple[str, Any], ...],
    text_of(
        read_assignment,
        repeatable=True,
        name="--set",
        metavar="KEY=VALUE",
        help="override a configuration value, e.g. stage1.steps=500; may be repeated; `show` lists the keys",
    ),
]
StorePath = Annotated[Path, Parameter(name="--store", metavar="DIR", help="where results are stored")]
RunProfile = Annotated[ProfileName | None, Parameter(help="profile of the run (default: the latest run's)")]
DataPath = Annotated[
    Path | None,
    Parameter(
        name="--data",
        help="folder with images in class subfolders, WebDataset shards, or the four files of Fashion-MNIST",
    ),
]
ClusterFile = Annotated[
    Path | None,
    Parameter(
        metavar="FILE",
        help="TOML file with the resources of each kind of artifact: partition, gpus, memory, time, ... "
        "(default: the profile's)",
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ValueOptions:
    """Options for the profile and changes to its values."""

    profile: Annotated[ProfileName, Parameter(help="scale of the experiment")] = "cpu"
    overrides: Assignments = ()
    overlay: Annotated[
        Path | None,
        Parameter(
            metavar="FILE",
            help="JSON file of configuration values by key, such as a study's best.json; "
            "--set takes precedence",
        ),
    ] = None
    data: DataPath = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PlanOptions(ValueOptions):
    """Options for the plan of an experiment."""

    seeds: Annotated[
        tuple[int, ...],
        text_of(
            read_seeds,
            metavar="N|A,B,...",
            show_default=lambda _: "seed 0",
            help="a number of seeds (3 means 0, 1 and 2), or a list: `4,7`, or `4,` for seed 4 alone; "
            "intervals need at least two",
        ),
    ] = (0,)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ExecutorOptions:
    """Options for where the work is done."""

    executor: Annotated[
        Literal["inline", "local", "slurm"],
        Parameter(help="run in this process, in workers on this machine, or as cluster jobs"),
    ] = "inline"
    workers: Annotated[
        Positive | None,
        Parameter(
            help="number of workers for --executor local, which share the cores (default: one per GPU, or "
            "as many as the cores allow)"
        ),
    ] = None
    cluster: ClusterFile = None

    def check(self, profile: str) -> None:
        """Refuse options that do not apply to the chosen executor, and an invalid cluster file.

        Raises:
            ConfigError: names the option or the key of the file.
        """
        if self.workers is not None and self.executor != "local":
            raise ConfigError("--workers is for --executor local")
        if self.cluster is not None and self.executor != "slurm":
            raise ConfigError("--cluster is for --executor slurm")
        if self.executor == "slurm":
            from experiments.executors.resources import load_cluster

            load_cluster(self.cluster, profile)


@Parameter(name="*", show_default=None)
@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options for how a plan is carried out."""

    store: StorePath = DEFAULT_STORE
    dry_run: Annotated[bool, Parameter(help="print the plan and its cost, then stop", show_default=False)] = (
        False
    )
    yes: Annotated[
        bool, Parameter(help="do not ask for confirmation before a long run", show_default=False)
    ] = False


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class StudyOptions(ValueOptions):
    """Options for how a study is carried out."""

    trials: Annotated[
        Positive | None, Parameter(help="total number of trials (default: the study's own)")
    ] = None
    workers: Annotated[
        Positive, Parameter(allow_repeating=True, help="number of processes, or of cluster jobs")
    ] = 1
    executor: Annotated[
        Literal["inline", "slurm"],
        Parameter(help="run here, or as cluster jobs that share the study"),
    ] = "inline"
    cluster: ClusterFile = None
    store: StorePath = DEFAULT_STORE
