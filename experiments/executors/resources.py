"""Resources of cluster jobs by kind of artifact: a cluster file overrides the profile's defaults.

A cluster file is TOML: `[default]` applies to every kind, `[kind.evaluation]` to one.

    [default]
    partition = "gpu"
    account = "vision"
    setup = ["module load cuda"]

    [kind.stage]
    gpus = 8
    tasks = 8
    time = "2-00:00:00"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from experiments.artifacts import all_kinds
from sftok.config import Config, ConfigError, choices_hint

_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<hours>\d+):(?P<minutes>\d\d)(?::(?P<seconds>\d\d))?")


def minutes(text: int | str) -> int:
    """Minutes of `90`, `1:30`, `1:30:00` or `2-12:00:00` (days before the dash), rounded up.

    Raises:
        ValueError: the text has none of these formats.
    """
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match:
        days, hours, mins, seconds = (int(part or 0) for part in match.groups())
        text = (days * 24 + hours) * 60 + mins + (seconds > 0)
    try:
        total = int(text)
    except ValueError:
        total = 0
    if total < 1:
        raise ValueError('write minutes, or a time such as "1:30:00" or "2-12:00:00"')
    return total


class Resources(Config):
    """Resources of one job; unset fields are left to the cluster's defaults."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    nodes: int = Field(default=1, ge=1)
    tasks: int = Field(default=1, ge=1)
    """Processes per node; each finds its rank, the world size and the master's address in its environment."""
    gpus: int = Field(default=0, ge=0)
    """GPUs per node."""
    cpus: int = Field(default=1, ge=1)
    """Cores per process, which also sets its number of threads."""
    memory: str | None = Field(default=None, pattern=r"^([1-9]\d*[KMGT])?$")
    """Memory per node, e.g. `64G`; empty for clusters where jobs must not ask for it."""
    time: Annotated[int | str, AfterValidator(minutes)] = 60
    """Time limit in minutes, or `days-hours:minutes:seconds`; training then resumes in a requeued job."""
    extra: dict[str, str | int | bool] = Field(default={})
    """Other sbatch options by their long names, e.g. `exclude = "node13"`."""
    setup: tuple[str, ...] = ()
    """Shell commands to run before the job, e.g. `module load cuda`."""
    parallel: int = Field(default=64, ge=1)
    """Maximum number of jobs of an array that run at once."""
    notice_seconds: int = Field(default=120, ge=10)
    """Seconds before the time limit at which a job is told to write a checkpoint."""
    max_requeues: int = Field(default=100, ge=0)
    """How often a job may be preempted or run out of time before it counts as failed."""

    def of_one_process(self) -> Resources:
        """The resources of a single process: at most one GPU, and its share of the memory."""
        share: dict[str, Any] = {"nodes": 1, "tasks": 1, "gpus": min(self.gpus, 1)}
        if self.memory:
            megabytes = int(self.memory[:-1]) * 1024.0 ** ("KMGT".index(self.memory[-1]) - 1)
            share["memory"] = f"{max(1, int(megabytes / self.tasks))}M"
        return self.model_copy(update=share)


Overlay = Mapping[str, Any]

_ONE_GPU: Overlay = {"gpus": 1, "cpus": 8, "memory": "48G", "time": "12:00:00"}
_NODE: Overlay = {"gpus": 8, "tasks": 8, "cpus": 8, "memory": "400G", "time": "2-00:00:00"}

DEFAULTS: Mapping[str, Mapping[str, Overlay]] = {
    "smoke": {"default": {"memory": "3G", "time": 15}},
    "cpu": {"default": {"cpus": 2, "memory": "4G", "time": "4:00:00"}},
    "gpu": {"default": _ONE_GPU},
    "paper": {"default": _ONE_GPU, "teacher": _NODE, "stage": _NODE, "generator": _NODE},
}
"""Defaults by profile and kind; `default` applies to every kind."""


class Cluster:
    """The resources of each kind of artifact."""

    def __init__(self, kinds: Mapping[str, Resources]):
        self.kinds = dict(kinds)

    def dump(self) -> dict[str, Any]:
        """The resources as JSON, for `restore`."""
        return {kind: resources.model_dump(mode="json") for kind, resources in self.kinds.items()}

    @classmethod
    def restore(cls, content: Mapping[str, Any]) -> Cluster:
        """The inverse of `dump`."""
        return cls({kind: Resources.build(values) for kind, values in content.items()})


def load_cluster(path: Path | None, profile: str) -> Cluster:
    """Read a cluster file, whose values override the profile's defaults; without a file, the defaults.

    Raises:
        ConfigError: the file is missing or not TOML, a key or kind is unknown, or a value is out of range.
    """
    content = _read(path) if path is not None else {}
    where = f"cluster file {path}"
    if unknown := sorted(set(content) - {"default", "kind"}):
        raise ConfigError(
            f"{where}: unknown key {unknown[0]!r}: {choices_hint(unknown[0], ('default', 'kind'))}"
        )
    by_kind = content.get("kind", {})
    if not isinstance(by_kind, dict):
        raise ConfigError(f"{where}: write [kind.stage], not {by_kind!r} under kind")
    known = list(all_kinds())
    if unknown := sorted(set(by_kind) - set(known)):
        raise ConfigError(f"{where}: unknown kind {unknown[0]!r}: {choices_hint(unknown[0], known)}")
    defaults = DEFAULTS.get(profile, {})
    shared = content.get("default", {})
    _build(shared, f"{where}: [default]")
    kinds = {}
    for kind in known:
        own = by_kind.get(kind, {})
        _build(own, f"{where}: [kind.{kind}]")
        overlay = {**defaults.get("default", {}), **defaults.get(kind, {}), **shared, **own}
        kinds[kind] = _build(overlay, where)
    return Cluster(kinds)


def _build(values: Any, where: str) -> Resources:
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: must be a table, not {values!r}")
    try:
        return Resources.build(values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"cluster file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"cluster file {path}: {error}") from None
