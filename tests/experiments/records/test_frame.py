"""The table of numbers: whose they are, where they were measured, and how lines are selected."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.paper.table4 import EXPERIMENT
from experiments.records.frame import by_seed, coordinates, damaged_logs, over_seeds, plain, select, table
from experiments.specs import Curve

if TYPE_CHECKING:
    from stored_runs import StoreMaker

CURVE = Curve(title="Loss", stages=("warm-up", "alignment"), quantity="loss")


def number(value: float, **more: Any) -> dict[str, Any]:
    known = {"table": "t", "profile": "cpu", "row": "a", "seed": 0, "subject": "tokenizer", "metric": "rfid"}
    return known | {"extractor": "", "value": value, "n_images": 10, "artifact": "k", "protocol": "p"} | more


def test_a_number_is_a_line_with_its_origin(maker: StoreMaker) -> None:
    run = maker.run(seeds=(0, 1))
    frame = run.frame
    assert list(frame.columns) == [
        *("table", "profile", "row", "seed", "subject", "metric", "extractor", "steps", "temperature"),
        *("value", "n_images", "artifact", "protocol"),
    ]
    assert len(frame) == 2 * 3 * 21 + 5
    line = select(frame, row="ratio-0.8", seed=1, metric="psnr", steps=4).iloc[0]
    state = next(each for each in run.rows if (each.row, each.seed) == ("ratio-0.8", 1))
    assert (line["artifact"], line["protocol"]) == (state.evaluation.key, "9f2c41d07a35")
    assert (line["table"], line["profile"], line["subject"]) == ("table4", "cpu", "tokenizer")


def test_references_come_last_under_their_own_names(maker: StoreMaker) -> None:
    tail = maker.run(seeds=(0,)).frame.tail(5)
    assert list(tail["row"]) == ["teacher"] * 4 + ["real"]
    assert tail["steps"].isna().all()


def test_only_numbers_of_the_rows_subject_count(maker: StoreMaker) -> None:
    from stored_runs import line

    both = [line("rfid", 2.0, steps=8), line("rfid", 9.0, subject="real")]
    frame = maker.run(seeds=(0,), measure=lambda row, seed: both).frame
    assert set(frame[frame["row"] == "ratio-0.5"]["value"]) == {2.0}


def test_any_coordinate_becomes_a_column() -> None:
    frame = table([number(1.0, steps=8), number(2.0, step=3, **{"class": "Bag"}), number(3.0, visible=0.5)])
    assert coordinates(frame) == ["steps", "temperature", "step", "class", "visible"]
    assert list(frame["steps"].astype(object).where(frame["steps"].notna(), None)) == [8, None, None]
    assert list(select(frame, step=3)["value"]) == [2.0]
    assert list(select(frame, visible=0.5)["value"]) == [3.0]
    assert select(frame, position="all").empty
    assert list(plain(frame)["value"]) == [1.0]


def test_what_does_not_depend_on_steps_holds_at_any() -> None:
    frame = table([number(1.0, steps=8), number(0.9, metric="usage")])
    assert list(select(frame, metric="usage", steps=8)["value"]) == [0.9]
    assert list(select(frame, metric="rfid", steps=8)["value"]) == [1.0]
    assert select(frame, metric="rfid", steps=4).empty


def test_a_seed_has_one_value() -> None:
    frame = table([number(1.0), number(1.0), number(math.nan, seed=1), number(math.nan, seed=1)])
    assert by_seed(frame)[0] == 1.0
    with pytest.raises(ValueError, match=r"seed 0 has several values, 1.0 and 2.0"):
        by_seed(table([number(1.0), number(2.0)]))


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.integers(1, 3), st.floats(-9, 9)), min_size=1)
)
def test_groups_over_seeds_lose_no_value(drawn: list[tuple[str, int | None, float]]) -> None:
    lines = [number(value, seed=seed, row=row, steps=steps) for seed, (row, steps, value) in enumerate(drawn)]
    found = over_seeds(table(lines), "row", "steps")
    keys = list(dict.fromkeys((row, steps) for row, steps, _ in drawn))
    assert [
        (row, None if pd.isna(at) else at) for row, at in zip(found["row"], found["steps"], strict=True)
    ] == keys
    assert sum(each.n for each in found["estimate"]) == len(drawn)
    for (row, steps), each in zip(keys, found["estimate"], strict=True):
        values = [value for other, at, value in drawn if (other, at) == (row, steps)]
        assert each.mean == pytest.approx(math.fsum(values) / len(values))


def test_a_curve_ends_in_the_mean_of_its_last_tenth(maker: StoreMaker) -> None:
    run = maker.run(EXPERIMENT.model_copy(update={"curves": (CURVE,)}), seeds=(0,))
    ends = select(run.frame, metric="final_loss")
    assert list(ends["row"]) == ["ratio-0.5", "ratio-0.8", "ratio-1.0"]
    assert ends["value"].iloc[0] == pytest.approx(3.9, abs=0.05)
    assert set(ends["subject"]) == {"training"}
    assert list(ends["n_images"]) == [20 * 64] * 3, "20 lines of 2000 steps"
    assert run.metric("final_loss").label == "Loss, at the end"


def test_an_unfinished_training_has_no_end(maker: StoreMaker) -> None:
    run = maker.run(EXPERIMENT.model_copy(update={"curves": (CURVE,)}), seeds=(0,), progress="partial")
    assert list(select(run.frame, metric="final_loss")["row"]) == ["ratio-0.5"]


def test_a_damaged_log_has_no_end_and_is_named(maker: StoreMaker) -> None:
    run = maker.run(EXPERIMENT.model_copy(update={"curves": (CURVE,)}), seeds=(0,))
    path = (run.rows[0].training[1].folder or maker.store.root) / "metrics.jsonl"
    path.write_bytes(path.read_bytes().replace(b'{"step": 20,', b'!"step": 20,'))
    found = maker.load(run.request)
    assert list(select(found.frame, metric="final_loss")["row"]) == ["ratio-0.8", "ratio-1.0"]
    (problem,) = damaged_logs(found)
    assert problem.startswith(f"{path}: line 2 is damaged; delete ")
