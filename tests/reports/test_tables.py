"""The headline and the flat table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from experiments.paper.table4 import EXPERIMENT
from experiments.records.results import TableRun
from experiments.records.verdicts import cells, estimate
from experiments.spec import Experiment, Row
from reports.metrics import METRICS, display_order, metric_info
from reports.tables import Headline, flat_table, headline

if TYPE_CHECKING:
    from conftest import FakeStore


def _headline(run: TableRun) -> Headline:
    return headline(run, cells(run))


def test_columns_name_metric_and_extractor_the_primary_first(fake_store: FakeStore) -> None:
    found = _headline(fake_store.run())
    assert [(column.metric.name, column.extractor, column.primary) for column in found.columns] == [
        ("rfid", "classifier@28", True),
        ("rfid", "efficientnet-lite0@64", False),
        ("is", "classifier@28", True),
    ]
    assert [info.name for info in found.published] == ["rfid"]


def test_cells_are_means_over_seeds_at_the_headline_steps(fake_store: FakeStore) -> None:
    run = fake_store.run()
    values = cells(run).values("ratio-1.0", 8, "rfid", "classifier@28")
    expected = estimate(list(values.values()))
    line = _headline(run).lines[2]
    assert len(values) == 3
    assert expected.half_width is not None
    assert line.measured[0].text == f"{expected.mean:.2f} ± {expected.half_width:.2f}"
    assert line.measured[0].best
    assert line.seeds == "3"


def test_the_best_depends_on_the_direction_and_needs_a_rival(fake_store: FakeStore) -> None:
    found = _headline(fake_store.run())
    assert [[cell.best for cell in line.measured] for line in found.lines] == [
        [False] * 3,
        [False] * 3,
        [True] * 3,
    ]
    assert [line.published[0].best for line in found.lines] == [False, False, True]
    alone = _headline(fake_store.run(progress="partial"))
    assert not any(cell.best for line in alone.lines for cell in line.measured)


def test_a_diverged_row_is_never_the_best(fake_store: FakeStore) -> None:
    run = fake_store.run(seeds=(0,))
    broken = run.rows[2].model_copy(
        update={"results": tuple(item.model_copy(update={"value": math.nan}) for item in run.rows[2].results)}
    )
    line = _headline(run.model_copy(update={"rows": (*run.rows[:2], broken)})).lines[2]
    assert line.measured[0].text == "nan"
    assert not line.measured[0].best


def test_published_values_keep_their_digits(fake_store: FakeStore) -> None:
    rows = tuple(row.model_copy(update={"published": {"rfid": 4.4}}) for row in EXPERIMENT.rows[:1])
    experiment = EXPERIMENT.model_copy(update={"rows": (*rows, *EXPERIMENT.rows[1:])})
    found = _headline(fake_store.run(experiment, seeds=(0,)))
    assert [line.published[0].text for line in found.lines] == ["4.40", "4.59", "4.33"]


def test_references_stand_apart(fake_store: FakeStore) -> None:
    found = _headline(fake_store.run())
    assert [line.name for line in found.references] == ["teacher", "real"]
    assert [cell.text for cell in found.references[1].measured] == [
        "",
        "",
        found.references[1].measured[2].text,
    ]


def test_what_a_row_waits_for(fake_store: FakeStore) -> None:
    states = [line.state for line in _headline(fake_store.run(progress="partial")).lines]
    assert states == ["", "running: alignment, ratio-0.8, seed 0, 43 %", "waiting"]
    failed = [line.state for line in _headline(fake_store.run(progress="failed")).lines]
    assert failed == ["", "1 of 3 seeds failed", ""]
    subset = fake_store.run(seeds=(0,))
    subset = subset.model_copy(update={"rows": subset.rows[:2]})
    assert _headline(subset).lines[2].state == "not requested"


def test_a_rows_training_time_is_the_mean_over_its_seeds(fake_store: FakeStore) -> None:
    # Of the fake store: 88 s of warm-up, and 402 s + 3 s a row + 1 s a seed.
    lines = _headline(fake_store.run()).lines
    assert [line.training for line in lines] == ["8 min 11 s", "8 min 14 s", "8 min 17 s"]
    assert [line.seeds for line in lines] == ["3"] * 3
    partial = _headline(fake_store.run(progress="partial"))
    assert [line.seeds for line in partial.lines] == ["3", "0 of 3", "0 of 3"]


def test_unequal_training_time_is_pointed_out(fake_store: FakeStore) -> None:
    run = fake_store.run(seeds=(0,))
    assert _headline(run).compute.startswith("Equal compute: 8 min 10 s (SFTok-B, ratio 0.5) to 8 min 16 s")
    slow = run.rows[0].training[1].model_copy(update={"seconds": 900.0})
    odd = run.rows[0].model_copy(update={"training": (run.rows[0].training[0], slow)})
    assert "Not equal" in _headline(run.model_copy(update={"rows": (odd, *run.rows[1:])})).compute
    assert _headline(fake_store.run(progress="waiting")).compute == ""


def test_the_flat_table_has_every_metric_row_and_step_once(fake_store: FakeStore) -> None:
    run = fake_store.run()
    flat = flat_table(run, cells(run))
    assert flat.steps == (1, 2, 4, 8, 16)
    assert len(flat.lines) == 3 * 7 + 5
    usage = next(line for line in flat.lines if line.metric.name == "codebook_usage")
    assert usage.values[0].startswith("0.98")
    assert usage.values[1:] == ("",) * 5
    rfid = flat.lines[0]
    assert (rfid.label, rfid.extractor, rfid.values[0]) == ("SFTok-B, ratio 0.5", "classifier@28", "")
    assert all(" ± " in value for value in rfid.values[1:])


def test_unknown_metrics_keep_their_name_and_come_last() -> None:
    assert metric_info("kl_to_final").heading == "kl_to_final"
    assert metric_info("rfid").heading == "rFID ↓"
    assert display_order(["zeta", "psnr", "alpha", "rfid"]) == ["rfid", "psnr", "alpha", "zeta"]
    assert all(info.meaning for info in METRICS.values())


PUBLISHED_ONLY = Row(
    name="theirs", label="Theirs", trained=False, published={"rfid": 3.0}, facts={"#Code": "8,192"}
)


def _with_published_only() -> Experiment:
    return EXPERIMENT.model_copy(update={"rows": (*EXPERIMENT.rows, PUBLISHED_ONLY), "facts": ("#Code",)})


def _run_with_published_only(fake_store: FakeStore) -> TableRun:
    run = fake_store.run()
    known = tuple(row.model_copy(update={"facts": {"#Code": "512"}}) for row in run.rows)
    return run.model_copy(update={"experiment": _with_published_only(), "rows": known})


def test_a_row_that_is_only_published_says_so(fake_store: FakeStore) -> None:
    table = _headline(_run_with_published_only(fake_store))
    line = table.lines[-1]
    assert (line.state, line.seeds, line.trained) == ("published only", "", False)
    assert [cell.text for cell in line.published] == ["3.00"]
    assert not any(cell.text for cell in line.measured)


def test_facts_of_the_paper_stand_beside_those_of_the_run(fake_store: FakeStore) -> None:
    table = _headline(_run_with_published_only(fake_store))
    assert table.facts == ("#Code",)
    assert (table.lines[-1].facts, table.lines[-1].here) == (("8,192",), ("",))
    assert (table.lines[0].facts, table.lines[0].here) == (("",), ("512",))


def test_a_row_may_have_steps_of_its_own(fake_store: FakeStore) -> None:
    single = EXPERIMENT.rows[0].model_copy(update={"steps": 1})
    run = fake_store.run()
    own = run.model_copy(
        update={"experiment": EXPERIMENT.model_copy(update={"rows": (single, *EXPERIMENT.rows[1:])})}
    )
    at_one = estimate(list(cells(run).values("ratio-0.5", 1, "rfid", "classifier@28").values()))
    line = _headline(own).lines[0]
    assert line.measured[0].text.startswith(f"{at_one.mean:.2f}")
    assert line.label.endswith(", T=1")
