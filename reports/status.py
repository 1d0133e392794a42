"""The status of a run: what is done, what is running, and how long the rest may take."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.records import ArtifactState, Run
from reports.numbers import duration, rough_duration

REFRESH_SECONDS = 20
"""How often an unfinished page reloads itself."""


@dataclass(frozen=True)
class RunStatus:
    """The state of a run as a word, a sentence and a fraction."""

    word: str
    """`complete`, `running`, `waiting` or `failed`; also the name of the style."""
    sentence: str
    fraction: float
    running: tuple[ArtifactState, ...]
    refresh: int | None
    """Seconds after which the page reloads itself; None if nothing more will change."""


def run_status(run: Run) -> RunStatus:
    """The status of a run from its artifacts."""
    running = tuple(state for state in run.artifacts if state.status == "running")
    failed = sum(state.status == "failed" for state in run.artifacts)
    done = sum(state.status == "done" for state in run.artifacts)
    word = "complete" if run.complete else "running" if running else "failed" if failed else "waiting"
    parts = done + math.fsum(state.progress or 0.0 for state in running)
    return RunStatus(
        word=word,
        sentence=_sentence(run, word, done, failed),
        fraction=1.0 if run.complete else parts / len(run.artifacts),
        running=running,
        refresh=None if run.complete else REFRESH_SECONDS,
    )


def remaining_seconds(artifacts: Sequence[ArtifactState]) -> float | None:
    """Seconds of work left, one artifact after another; None while a kind has no timing yet.

    A waiting artifact without its own estimate is expected to take as long as others of its kind.
    """
    known: defaultdict[str, list[float]] = defaultdict(list)
    for state in artifacts:
        if state.status == "done" and state.seconds is not None:
            known[state.kind].append(state.seconds)
        elif state.remaining_seconds is not None and state.progress:
            known[state.kind].append(state.remaining_seconds / max(1e-6, 1 - state.progress))
    total = 0.0
    for state in artifacts:
        if state.status in ("done", "failed", "blocked"):
            continue
        if state.remaining_seconds is not None:
            total += state.remaining_seconds
        elif known[state.kind]:
            typical = math.fsum(known[state.kind]) / len(known[state.kind])
            total += typical * (1 - (state.progress or 0))
        else:
            return None
    return total


def _sentence(run: Run, word: str, done: int, failed: int) -> str:
    total = len(run.artifacts)
    if word == "complete":
        spent = math.fsum(state.seconds or 0.0 for state in run.artifacts)
        return f"{total} artifacts, {duration(spent)} of computing." if spent else f"{total} artifacts."
    counts = f"{done} of {total} artifacts done"
    if failed:
        counts += f", {failed} failed"
    if word == "failed":
        return f"{counts}, nothing is running. The same command keeps what is done and tries the rest again."
    if any((state.note or "").startswith("job ") for state in run.artifacts):
        name = run.experiment.name
        return (
            f"{counts}. Cluster jobs compute the rest: `status {name}` shows them, `collect {name}` brings "
            "this page up to date."
        )
    if word == "waiting":
        return f"{counts}, nothing is running. The same command continues from here."
    left = remaining_seconds(run.artifacts)
    hint = "the time left is known once each kind has run" if left is None else f"{rough_duration(left)} left"
    return f"{counts}, {hint}."
