"""What MLflow is told of a finished row: parameters, tags, curves, measurements, files. Knows no MLflow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from einops import rearrange

from experiments.planning.plan import Plan
from experiments.recipe import flat
from experiments.records.results import RowRun
from experiments.store import METRICS
from sftok.arrays import read_arrays

_FORBIDDEN = re.compile(r"[^\w\-.:/ ]", re.ASCII)
"""What a metric of MLflow may not be named with, the `@` of an extractor's resolution among it."""


class Value(NamedTuple):
    """One point of a curve."""

    name: str
    value: float
    step: int


def parameters(plan: Plan, row: RowRun) -> dict[str, str]:
    """The row's resolved configuration as text, under the dotted keys that `--set` takes."""
    values = flat(plan.recipe_of(row.row).model_dump(mode="json")) | {"seed": row.seed}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


def tags(plan: Plan, row: RowRun) -> dict[str, str]:
    """What identifies the row: its evaluation, the keys of everything it came from, protocol and commit."""
    planned = next(each for each in plan.rows if (each.row, each.seed) == (row.row, row.seed))
    commit = str(row.evaluation.provenance.get("commit", "unknown"))
    sources = [
        upstream for node in (*planned.training, *planned.measurements) for upstream in node.inputs.values()
    ]
    chosen = {}
    if row.sampling is not None:
        point = row.sampling.chosen.model_dump(include={"schedule", "scale", "temperature"})
        chosen["sftok.guidance"] = json.dumps(point)
    return (
        chosen
        | {
            "mlflow.source.git.commit": commit.partition("+")[0],
            "sftok.row": row.row,
            "sftok.seed": str(row.seed),
            "sftok.commit": commit,
            "sftok.protocol": str(row.protocol.get("fingerprint", "unknown")),
            "sftok.evaluation": row.evaluation.key,
        }
        | {f"sftok.analysis.{node.config['analysis']}": node.key for node in planned.analyses}
        | {f"sftok.key.{source.stage}": source.key for source in sources}
    )


def curves(row: RowRun) -> Iterator[Value]:
    """The training curves of the row's stages: `warm-up/loss`, `alignment/learning_rate` ... by step."""
    for stage in row.training:
        assert stage.folder is not None, "a finished row has finished stages"
        log = stage.folder / METRICS
        # A teacher that was given has none.
        for line in log.read_text().splitlines() if log.is_file() else ():
            values = json.loads(line)
            step = values.pop("step")
            for quantity, value in values.items():
                yield Value(f"{stage.stage}/{quantity}", float(value), step)


def measurements(row: RowRun) -> Iterator[Value]:
    """The row's numbers, as `rfid/classifier` at step T; at 0 where there are no decoding steps.

    What each step of a decoding has (`experiments.records.quantities`) stands at that step.
    """
    for result in row.results:
        name = "/".join(filter(None, (result.metric, result.extractor)))
        yield Value(_FORBIDDEN.sub("-", name), result.value, result.steps or 0)


def working_time(row: RowRun) -> tuple[int, int]:
    """Start and end in ms: the end is that of the last measurement, the length is what all parts took."""
    ends = (row.evaluation, *row.analyses)
    end = max(
        datetime.fromisoformat(part.provenance["started"]).timestamp() + part.provenance["seconds"]
        for part in ends
    )
    seconds = sum(part.seconds or 0.0 for part in (*row.training, *ends))
    return int(1000 * (end - seconds)), int(1000 * end)


def strip(path: Path) -> np.ndarray:
    """`examples.npz` as one picture, uint8 `[H,W,3]`: a line of originals, then a line for each T.

    Raises:
        ValueError: the file is damaged.
    """
    arrays = read_arrays(path).values()
    lines = np.stack([array for array in arrays if array.ndim == 4])  # not the labels and class names
    return rearrange(lines, "lines n c h w -> (lines h) (n w) c")
