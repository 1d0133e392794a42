"""Shows a run: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from experiments.artifacts.base import Artifact
from experiments.commands.durations import readable
from experiments.executors.events import Event, Failed, Finished, Preparing, Progress, Started, Waiting
from experiments.store import Result

LINE_EVERY_SECONDS = 30.0


class ConsoleProgress:
    """A listener that says what is running, how far it is and how long it still takes."""

    def __init__(
        self,
        artifacts: Sequence[Artifact],
        console: Console,
        costs: Mapping[Artifact, float | None],
        *,
        primary: str = "",
        workers: int = 1,
    ):
        """Show the making of `artifacts`.

        Args:
            artifacts: all that are asked for, in order.
            console: where to print.
            costs: seconds of those that are to be made; None where they are unknown.
            primary: the feature space whose numbers are shown.
            workers: how many artifacts are made at once.
        """
        self._console, self._workers, self._primary = console, workers, primary
        self._todo = dict(costs)
        self._position = {artifact: place for place, artifact in enumerate(artifacts, 1)}
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
        """Show an event."""
        artifact = event.artifact
        match event:
            case Started():
                self._start(artifact)
            case Progress(_, done, total, remaining):
                self._advance(artifact, done / total, remaining)
            case Preparing(_, what):
                self._prepare(artifact, what)
            case Finished(_, result):
                self._end(artifact)
                seconds = readable(result.provenance.seconds)
                self._line(artifact, f"done in {seconds}{_headline(result, self._primary)}")
            case Failed(_, reason):
                self._end(artifact)
                self._line(artifact, f"FAILED: {reason}")
            case Waiting(_, owner):
                who = f"process {owner['pid']} on {owner['host']}"
                self._line(artifact, f"waiting for {who}, which is computing it")

    def close(self) -> None:
        """Leave the terminal clean."""
        if self._bars is not None:
            for artifact in list(self._tasks):
                self._bars.remove_task(self._tasks.pop(artifact))
            self._bars.stop()

    def _start(self, artifact: Artifact) -> None:
        self._said[artifact] = time.monotonic()
        if self._bars is None:
            self._line(artifact, "started")
            return
        self._bars.start()
        self._tasks[artifact] = self._bars.add_task(self._name(artifact), total=1.0, left="")

    def _advance(self, artifact: Artifact, share: float, remaining: float | None) -> None:
        """Move the bar, or print a line now and then."""
        left = ""
        if remaining is not None:
            self._todo[artifact] = remaining
            left = f"{readable(remaining)} left{self._all_left(remaining)}"
        if self._bars is not None:
            if artifact in self._tasks:
                self._bars.update(self._tasks[artifact], completed=share, left=left)
        elif time.monotonic() - self._said.get(artifact, 0.0) >= LINE_EVERY_SECONDS:
            self._said[artifact] = time.monotonic()
            self._line(artifact, f"{100 * share:.0f} %, {left}".removesuffix(", "))

    def _prepare(self, artifact: Artifact, what: str) -> None:
        if self._bars is None:
            self._line(artifact, what)
        elif artifact in self._tasks:
            self._bars.update(self._tasks[artifact], left=what, refresh=True)

    def _end(self, artifact: Artifact) -> None:
        self._todo.pop(artifact, None)
        if self._bars is not None and artifact in self._tasks:
            self._bars.remove_task(self._tasks.pop(artifact))
            if not self._tasks:
                self._bars.stop()

    def _all_left(self, remaining: float) -> str:
        costs = [cost for cost in self._todo.values() if cost is not None]
        if len(costs) < max(2, len(self._todo)):
            return ""
        return f", about {readable(max(remaining, sum(costs) / self._workers))} for all"

    def _name(self, artifact: Artifact) -> str:
        return f"[{self._position[artifact]}/{len(self._position)}] {artifact.label}"

    def _line(self, artifact: Artifact, text: str) -> None:
        self._console.print(f"{self._name(artifact)}: {text}", markup=False, highlight=False, soft_wrap=True)


def _headline(result: Result, primary: str) -> str:
    """FID by number of steps: `; rFID (convmixer) T=1: 4.567, T=8: 2.345`; empty for a calibration."""
    said = ""
    rows = [row.model_dump() for row in result.rows if row.extractor == primary]
    rows = [row for row in rows if "distortion" not in row]
    for metric, label in (("rfid", "rFID"), ("gfid", "gFID")):
        values = [
            (f"T={row['steps']}: " if "steps" in row else "") + f"{row['value']:.3f}"
            for row in rows
            if row["metric"] == metric
        ]
        said += f"; {label} ({primary}) {', '.join(values)}" if values else ""
    return said
