"""Shows the progress of a run: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from experiments.artifacts import Artifact
from experiments.executors.events import Event, Failed, Finished, Progress, Started, Waiting
from experiments.planning.costs import readable
from experiments.planning.plan import Plan

LINE_EVERY_SECONDS = 30.0


class ConsoleProgress:
    """A listener that shows what is running, how far it is and how long it still takes."""

    def __init__(
        self, plan: Plan, console: Console, costs: Mapping[Artifact, float | None], workers: int = 1
    ):
        """Show how `workers` make the artifacts of `costs`, in seconds (None: unknown)."""
        self._console = console
        self._workers = workers
        self._todo = dict(costs)
        self._primary = plan.recipe.evaluation.primary.label
        self._position = {artifact: place for place, artifact in enumerate(plan.artifacts, 1)}
        self._total = len(plan.artifacts)
        self._said: dict[Artifact, float] = {}
        self._tasks: dict[Artifact, TaskID] = {}
        self._bars: Bars | None = None
        if console.is_terminal:
            self._bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
                TextColumn("{task.fields[left]}"),
                TimeElapsedColumn(),
                console=console,
                transient=True,
            )

    def __call__(self, event: Event) -> None:
        """Show what happened."""
        match event:
            case Started(artifact):
                self._start(artifact)
            case Progress(artifact, done, total, remaining):
                self._advance(artifact, done / total, remaining)
            case Finished(artifact, result):
                self._end(artifact)
                seconds = readable(result["provenance"]["seconds"])
                self._line(artifact, f"done in {seconds}{_headline(result, self._primary)}")
            case Failed(artifact, reason):
                self._end(artifact)
                self._line(artifact, f"FAILED: {reason}")
            case Waiting(artifact, owner):
                self._line(
                    artifact, f"waiting for process {owner['pid']} on {owner['host']}, which is making it"
                )

    def _start(self, artifact: Artifact) -> None:
        self._said[artifact] = time.monotonic()
        if self._bars is None:
            self._line(artifact, "started")
            return
        self._bars.start()
        self._tasks[artifact] = self._bars.add_task(self._name(artifact), total=1.0, left="")

    def _advance(self, artifact: Artifact, done: float, remaining: float | None) -> None:
        """Move the bar, or print a line now and then."""
        left = ""
        if remaining is not None:
            self._todo[artifact] = remaining
            left = f"{readable(remaining)} left{self._plan_left(remaining)}"
        if self._bars is not None:
            if artifact in self._tasks:
                self._bars.update(self._tasks[artifact], completed=done, left=left)
        elif time.monotonic() - self._said.get(artifact, 0.0) >= LINE_EVERY_SECONDS:
            self._said[artifact] = time.monotonic()
            self._line(artifact, f"{100 * done:.0f} %, {left}".removesuffix(", "))

    def close(self) -> None:
        """Leave the terminal clean."""
        if self._bars is not None:
            for artifact in list(self._tasks):
                self._bars.remove_task(self._tasks.pop(artifact))
            self._bars.stop()

    def _end(self, artifact: Artifact) -> None:
        self._todo.pop(artifact, None)
        if self._bars is not None and artifact in self._tasks:
            self._bars.remove_task(self._tasks.pop(artifact))
            if not self._tasks:
                self._bars.stop()

    def _plan_left(self, remaining: float) -> str:
        if len(self._todo) < 2 or any(cost is None for cost in self._todo.values()):
            return ""
        together = sum(cost or 0.0 for cost in self._todo.values()) / self._workers
        return f", about {readable(max(remaining, together))} for all"

    def _name(self, artifact: Artifact) -> str:
        return f"[{self._position[artifact]}/{self._total}] {artifact.label}"

    def _line(self, artifact: Artifact, text: str) -> None:
        self._console.print(f"{self._name(artifact)}: {text}", markup=False, highlight=False, soft_wrap=True)


def _headline(result: Mapping[str, Any], primary: str) -> str:
    said = ""
    for metric, label in (("rfid", "rFID"), ("gfid", "gFID")):
        values = [
            f"T={row['steps']}: {row['value']:.3f}"
            for row in result.get("rows", ())
            if row["metric"] == metric and row["steps"] is not None and row["extractor"] == primary
        ]
        said += f"; {label} {', '.join(values)}" if values else ""
    return said
