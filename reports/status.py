"""How far a run is: what is done, what runs now, and how long the rest may take."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

from experiments.records.results import ArtifactState, TableRun
from experiments.records.verdicts import Outcome, Verdict
from reports.numbers import duration, rough_duration

REFRESH_SECONDS = 20
"""How often an unfinished page reloads itself."""


@dataclass(frozen=True)
class RunStatus:
    """The state of a run in a few numbers and one sentence."""

    word: str
    """`complete`, `running`, `waiting` or `failed`: also the name of its style."""
    sentence: str
    done: int
    total: int
    fraction: float
    running: tuple[ArtifactState, ...]
    failed: tuple[ArtifactState, ...]
    refresh: bool
    """Whether more may come, so that the page should reload itself."""


def run_status(run: TableRun) -> RunStatus:
    """The status of a run from its artifacts."""
    running = tuple(item for item in run.artifacts if item.status == "running")
    failed = tuple(item for item in run.artifacts if item.status == "failed")
    done = sum(item.status == "done" for item in run.artifacts)
    total = len(run.artifacts)
    parts = done + math.fsum(item.progress or 0.0 for item in running)
    finished = run.complete and not failed
    fraction = 1.0 if finished else parts / total if total else 0.0
    word = "complete" if finished else "running" if running else "failed" if failed else "waiting"
    return RunStatus(
        word=word,
        sentence=_sentence(run, word, done, total, len(failed)),
        done=done,
        total=total,
        fraction=fraction,
        running=running,
        failed=failed,
        refresh=not run.complete,
    )


def remaining_seconds(artifacts: tuple[ArtifactState, ...]) -> float | None:
    """Seconds of work left, one artifact after another; None while some kind has not been timed yet.

    A waiting artifact without an estimate of its own takes as long as the others of its kind did.
    """
    known: defaultdict[str, list[float]] = defaultdict(list)
    for item in artifacts:
        if item.status == "done" and item.seconds is not None:
            known[item.kind].append(item.seconds)
        elif item.status == "running" and item.remaining_seconds is not None and (item.progress or 0) > 0:
            known[item.kind].append(item.remaining_seconds / max(1e-6, 1 - (item.progress or 0)))
    total = 0.0
    for item in artifacts:
        if item.status not in ("running", "waiting"):
            continue
        if item.remaining_seconds is not None:
            total += item.remaining_seconds
        elif known[item.kind]:
            typical = math.fsum(known[item.kind]) / len(known[item.kind])
            total += typical * (1 - (item.progress or 0))
        else:
            return None
    return total


def claim_tally(verdicts: tuple[Verdict, ...]) -> dict[Outcome, int]:
    """How many claims have which verdict in the primary feature space; outcomes without any are left out."""
    order: tuple[Outcome, ...] = ("agrees", "disagrees", "inconclusive", "pending")
    headline = [verdict.outcome for verdict in verdicts if verdict.primary]
    return {outcome: headline.count(outcome) for outcome in order if outcome in headline}


def _sentence(run: TableRun, word: str, done: int, total: int, failed: int) -> str:
    if word == "complete":
        spent = math.fsum(item.seconds or 0.0 for item in run.artifacts)
        return f"{total} artifacts, {duration(spent)} of computing." if spent else f"{total} artifacts."
    counts = f"{done} of {total} artifacts done"
    if failed:
        counts += f", {failed} failed"
    if word == "failed":
        return f"{counts}, nothing runs now. The same command keeps what is done and tries the rest again."
    if any((item.note or "").startswith("job ") for item in run.artifacts):
        name = run.experiment.name
        hint = f"`status {name}` shows them, `collect {name}` brings this page up to date"
        return f"{counts}. Cluster jobs make the rest: {hint}."
    if word == "waiting":
        return f"{counts}, nothing runs now. The same command continues from here."
    left = remaining_seconds(run.artifacts)
    hint = "the time left is known once each kind has run" if left is None else f"{rough_duration(left)} left"
    return f"{counts}, {hint}."
