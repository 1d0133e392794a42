"""Charts of training logs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.records import Run
from experiments.records.training_log import logged
from reports.charts import POINTS, Axis, Chart, line_chart

MAX_POINTS = 120
"""Maximum number of points of a smoothed curve, each the mean of a bin of steps."""

MAX_LINES = 20_000
"""Maximum number of log lines to parse; of a longer log, only every k-th line is read."""


def loss_chart(
    run: Run, title: str, subtitle: str, quantity: str, stages: tuple[str, ...], half: bool = False
) -> Chart | None:
    """A chart of a logged quantity for every row and seed, over the given stages; None before any step.

    With `half`, only the second half of the steps is shown.
    """
    points = _curves(run, quantity, stages)
    start = points["x"].max() / 2 if half and len(points) else 0.0
    return line_chart(title, subtitle, points[points["x"] >= start], Axis("training step", start=start), {})


def smoothed(points: NDArray[np.float64], max_points: int = MAX_POINTS) -> NDArray[np.float64]:
    """Means of at most `max_points` bins of consecutive points `[n, 2]`, without non-finite values."""
    finite = points[np.isfinite(points[:, 1])]
    size = -(-len(finite) // max_points) or 1
    starts = np.arange(0, len(finite), size)
    if not len(starts):
        return finite
    counts = np.diff(np.append(starts, len(finite)))
    return np.add.reduceat(finite, starts) / counts[:, None]


@lru_cache(maxsize=4)
def _curves(run: Run, quantity: str, stages: tuple[str, ...]) -> pd.DataFrame:
    """The points of every row and seed; each stage starts where the previous one ended."""
    rows = [row.name for row in run.experiment.trained_rows]
    lines: list[tuple[str, int, float, float, None, bool]] = []
    for state in run.rows:
        name, index, offset = f"{run.label(state.row)}, seed {state.seed}", rows.index(state.row), 0.0
        for stage in state.training:
            log = logged(stage.folder, quantity, MAX_LINES) if stage.folder and stage.stage in stages else []
            points = smoothed(np.array(log, dtype=float).reshape(-1, 2))
            last = len(points) - 1
            for number, (step, value) in enumerate(points.tolist()):
                end = number == last and stage.status == "done"
                lines.append((name, index, offset + step, value, None, end))
            offset += log[-1][0] if log else 0
    return pd.DataFrame(lines, columns=list(POINTS))
