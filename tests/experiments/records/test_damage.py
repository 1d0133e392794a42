"""Whatever happens to a file of a finished store, the rest of it is read as before."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_runs import EXPERIMENT, StoreMaker, with_rows

from experiments.records import load_runs
from experiments.records.verdicts import judge
from experiments.specs import Curve
from experiments.store import Store

CURVE = Curve(title="Loss", stages=("warm-up", "alignment"), quantity="loss")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of two finished requests."""
    made = StoreMaker(tmp_path_factory.mktemp("finished") / "store")
    made.run(with_rows(EXPERIMENT, curves=(CURVE,)), seeds=(0,))
    made.run(EXPERIMENT.model_copy(update={"name": "other"}), seeds=(0,))
    return made.store.root


def damaged(content: bytes, kind: str, place: float) -> bytes:
    at = int(place * len(content))
    numbers = list(re.finditer(rb"-?\d+(\.\d+)?", content))
    if kind == "cut":
        return content[:at]
    if kind == "flip":
        return content[:at] + bytes([content[at] ^ 0x11]) + content[at + 1 :]
    if kind == "list" or not numbers:
        return b"[1, 2]"
    number = numbers[int(place * len(numbers))]
    return content[: number.start()] + kind.encode() + content[number.end() :]


def numbers_in(frame: pd.DataFrame) -> set[tuple[str, ...]]:
    columns = ["artifact", "row", "seed", "metric", "extractor", "steps", "value"]
    numeric = frame.assign(steps=pd.to_numeric(frame["steps"], errors="coerce").astype(float))
    return set(map(tuple, numeric[columns].astype(str).to_numpy()))


@given(
    place=st.floats(0, 1, exclude_max=True),
    file=st.floats(0, 1, exclude_max=True),
    kind=st.sampled_from(["cut", "flip", "list", '"text"', "null", "NaN", "[]", "{}", "-1"]),
)
@settings(max_examples=40)
def test_one_damaged_file_costs_at_most_its_own_numbers(
    finished: Path, tmp_path_factory: pytest.TempPathFactory, place: float, file: float, kind: str
) -> None:
    root = tmp_path_factory.mktemp("damaged") / "store"
    shutil.copytree(finished, root)
    files = sorted(path for path in root.rglob("*.json*") if path.name != "config.json")
    path = files[int(file * len(files))]
    path.write_bytes(damaged(path.read_bytes(), kind, place))
    whole = {run.experiment.name: run.frame for run in load_runs(Store(finished))}
    runs = load_runs(Store(root))
    assert path.parent.name == "requests" or len(runs) == len(whole)
    for run in runs:
        judge(run)
        assert all("\n" not in (state.error or "") for state in run.artifacts)
        expected = whole.get(run.experiment.name)
        if expected is not None and path.parent.name != "requests":
            of_others = expected[~expected["artifact"].map(lambda key: path.parent.name.endswith(key))]
            assert numbers_in(of_others) <= numbers_in(run.frame)
    shutil.rmtree(root)
