"""MLflow's view of a finished row: parameters, tags, curves, numbers, files. Does not import MLflow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.records import ArtifactState, RowState, Run
from experiments.records.training_log import log_lines
from sftok.config import flat
from sftok.io.arrays import read_arrays

_FORBIDDEN = re.compile(r"[^\w\-.:/ ]", re.ASCII)
"""Characters not allowed in MLflow's metric names, such as the `@` of an extractor's resolution."""

_NOT_IN_NAMES = ("steps", "step", "temperature")
"""Coordinates that become MLflow's step, or are the same for all numbers of a row."""


class Value(NamedTuple):
    """One point of a curve."""

    name: str
    value: float
    step: int


def parameters(run: Run, row: RowState) -> dict[str, str]:
    """The row's resolved configuration as text, by the dotted keys that `--set` takes."""
    values = flat(run.request.recipes[row.row]) | {"seed": row.seed}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


def tags(run: Run, row: RowState) -> dict[str, str]:
    """Tags that identify the row: its evaluation, the keys of all its inputs, the protocol and the commit."""
    evaluation = run.results[row.evaluation.name]
    commit = evaluation.provenance.commit
    found = {
        "mlflow.source.git.commit": commit.partition("+")[0],
        "sftok.row": row.row,
        "sftok.seed": str(row.seed),
        "sftok.commit": commit,
        "sftok.protocol": str(evaluation.protocol.get("fingerprint", "unknown")),
        "sftok.evaluation": row.evaluation.key,
    }
    stored = run.request.by_name
    for analysis in row.analyses:
        own = stored[analysis.name]
        found[f"sftok.analysis.{own.record.get('analysis', {}).get('name', own.kind)}"] = analysis.key
    planned = next(each for each in run.request.rows if (each.row, each.seed) == (row.row, row.seed))
    for artifact in run.request.needed_by(planned):
        if artifact.name not in planned.measurements:
            found[f"sftok.key.{artifact.stage}"] = artifact.key
    if (guidance := run.results.get(run.input_of(row.evaluation, "guidance"))) is not None:
        chosen: dict[str, Any] = (guidance.model_extra or {})["chosen"]
        point = {name: chosen[name] for name in ("guidance_schedule", "guidance_scale", "temperature")}
        found["sftok.guidance"] = json.dumps(point)
    return found


def curves(row: RowState) -> Iterator[Value]:
    """The training curves of the row's stages: `warm-up/loss`, `alignment/learning_rate` ... by step.

    Raises:
        StoreError: a log is damaged; the message names the file.
    """
    for stage in row.training:
        assert stage.folder is not None, "a finished row has finished stages"
        for line in log_lines(stage.folder):
            step = line.pop("step")
            for quantity, value in line.items():
                yield Value(f"{stage.stage}/{quantity}", float(value), step)


def measurements(run: Run, row: RowState) -> Iterator[Value]:
    """The row's numbers, such as `rfid/classifier` at step T, or at 0 without decoding steps.

    Numbers of single steps of one decoding are logged at that step; other coordinates are part of the name.
    """
    # Imported here, because it loads pandas, which is needed only when there is something to deliver.
    from experiments.records.frame import coordinates, select

    lines = select(run.frame, row=row.row, seed=row.seed)
    further = [name for name in coordinates(lines) if name not in _NOT_IN_NAMES]
    lines = lines.astype(object).where(lines.notna(), None)
    for line in lines.to_dict("records"):
        named = [f"{name}-{line[name]}" for name in further if line[name] is not None]
        name = "/".join(filter(None, (line["metric"], line["extractor"], *named)))
        step = next((line[key] for key in ("step", "steps") if line.get(key) is not None), 0)
        yield Value(_FORBIDDEN.sub("-", name), line["value"], int(step))


def working_time(row: RowState) -> tuple[int, int]:
    """Start and end in ms, from the end of the last measurement and the total time of all parts."""
    end = max(map(_end, row.measurements))
    seconds = sum(part.seconds or 0.0 for part in (*row.training, *row.measurements))
    return int(1000 * (end - seconds)), int(1000 * end)


def strip(path: Path) -> np.ndarray:
    """`examples.npz` as one picture, uint8 `[H,W,3]`: a row of originals, followed by a row for each T.

    Raises:
        ValueError: the file is damaged.
    """
    arrays = read_arrays(path).values()
    lines = [array for array in arrays if array.ndim == 4]  # without labels and class names
    return np.concatenate([np.concatenate(line.transpose(0, 2, 3, 1), axis=1) for line in lines])


def _end(artifact: ArtifactState) -> float:
    made = artifact.provenance
    return datetime.fromisoformat(made["started"]).timestamp() + float(made["seconds"])
