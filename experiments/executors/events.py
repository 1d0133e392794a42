"""Events during the making of artifacts; a listener is any callable that takes an event."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.artifacts import Artifact
from experiments.store import Result


@dataclass(frozen=True)
class Started:
    """Work on the artifact has started."""

    artifact: Artifact


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units are complete; `remaining` seconds are left (None while unknown)."""

    artifact: Artifact
    done: int
    total: int
    remaining: float | None


@dataclass(frozen=True)
class Preparing:
    """The next unit takes much longer than the others; `what` says why."""

    artifact: Artifact
    what: str


@dataclass(frozen=True)
class Finished:
    """The artifact is finished."""

    artifact: Artifact
    result: Result


@dataclass(frozen=True)
class Failed:
    """The attempt or one of its inputs failed."""

    artifact: Artifact
    reason: str


@dataclass(frozen=True)
class Waiting:
    """Another process is making the artifact; `owner` has its `host` and `pid`."""

    artifact: Artifact
    owner: Mapping[str, Any]


Event = Started | Progress | Preparing | Finished | Failed | Waiting
Listener = Callable[[Event], None]
