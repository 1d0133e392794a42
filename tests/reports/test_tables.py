"""The headline table and the tables of all numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from stored_runs import CLASSIFIER, LITE, like_table4, line, with_rows

from experiments.paper.table4 import EXPERIMENT
from experiments.records import Run
from experiments.records.estimates import estimate
from experiments.records.frame import by_seed, select
from experiments.specs import Row
from reports.sections import numbers
from reports.sections.results import compute_statement, headline
from reports.tables import Line, display_order

if TYPE_CHECKING:
    from stored_runs import StoreMaker


def lines(run: Run, group: int = 0) -> tuple[Line, ...]:
    return headline(run).groups[group].lines


def test_columns_name_metric_and_extractor_the_primary_first(maker: StoreMaker) -> None:
    found = headline(maker.run())
    assert [(column.name, *column.notes) for column in found.columns] == [
        ("Row",),
        ("rFID ↓", "in the paper"),
        ("rFID ↓", CLASSIFIER, "primary"),
        ("rFID ↓", LITE),
        ("IS ↑", CLASSIFIER, "primary"),
        ("Training", "per seed"),
        ("Seeds", "done"),
    ]
    assert found.heads == (("", 1), ("Published", 1), ("Measured here", 3), ("", 2))


def test_cells_are_means_over_seeds_at_the_headline_steps(maker: StoreMaker) -> None:
    run = maker.run()
    values = by_seed(select(run.frame, row="ratio-1.0", metric="rfid", extractor=CLASSIFIER, steps=8))
    expected = estimate(list(values.values()))
    cell = lines(run)[2].cells[1]
    assert len(values) == 3
    assert cell.text == f"{expected.mean:.2f} ± {expected.half_width:.2f}"
    assert cell.best


def test_the_best_depends_on_the_direction_and_needs_a_rival(maker: StoreMaker) -> None:
    marks = [[cell.best for cell in each.cells[:4]] for each in lines(maker.run())]
    assert marks == [[False] * 4, [False] * 4, [True] * 4]
    alone = lines(maker.run(EXPERIMENT, seeds=(5,), progress="partial"))
    assert not any(cell.best for each in alone for cell in each.cells[1:4])


def test_a_diverged_row_is_never_the_best(maker: StoreMaker) -> None:
    def measure(row: str, seed: int) -> list[dict[str, Any]]:
        broken = {"value": math.nan} if row == "ratio-1.0" else {}
        return [each | broken for each in like_table4(row, seed)]

    cell = lines(maker.run(seeds=(0,), measure=measure))[2].cells[1]
    assert (cell.text, cell.best) == ("nan", False)


def test_published_values_keep_their_digits(maker: StoreMaker) -> None:
    odd = EXPERIMENT.rows[0].model_copy(update={"published": {"rfid": 4.4}})
    found = lines(maker.run(with_rows(EXPERIMENT, odd, *EXPERIMENT.rows[1:]), seeds=(0,)))
    assert [each.cells[0].text for each in found] == ["4.40", "4.59", "4.33"]


def test_references_stand_apart(maker: StoreMaker) -> None:
    teacher, real = lines(maker.run(), group=1)
    assert (teacher.label, real.label) == ("Teacher's own reconstruction", "Real images")
    assert [cell.text for cell in real.cells] == ["", "", "", "7.380", "", "1"]


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        ("complete", ["", "", ""]),
        ("waiting", ["waiting"] * 3),
        ("partial", ["", "running: alignment of ratio-0.8, seed 0, 43 %", "waiting"]),
        ("failed", ["", "1 of 3 seeds failed", ""]),
    ],
)
def test_what_a_row_waits_for(maker: StoreMaker, progress: Any, expected: list[str]) -> None:
    run = maker.run(progress=progress)
    assert [each.note for each in lines(run)] == expected
    fewer = maker.load(run.request.model_copy(update={"rows": run.request.rows[:2]}))
    assert lines(fewer)[2].note == "not requested"


def test_training_time_is_the_mean_over_seeds(maker: StoreMaker) -> None:
    # Of the synthetic store: 88 s of warm-up, and 402 s + 3 s a row + 1 s a seed.
    found = [tuple(cell.text for cell in each.cells[-2:]) for each in lines(maker.run())]
    assert found == [("8 min 11 s", "3"), ("8 min 14 s", "3"), ("8 min 17 s", "3")]
    partial = lines(maker.run(EXPERIMENT, seeds=(5, 6, 7), progress="partial"))
    assert [each.cells[-1].text for each in partial] == ["3", "0 of 3", "0 of 3"]


def test_unequal_training_time_is_pointed_out(maker: StoreMaker) -> None:
    run = maker.run(seeds=(0,))
    expected = "Equal compute: 8 min 10 s (SFTok-B, ratio 0.5) to 8 min 16 s"
    assert compute_statement(run).startswith(expected)
    path = (run.rows[0].training[1].folder or maker.store.root) / "result.json"
    path.write_text(path.read_text().replace('"seconds": 402.0', '"seconds": 900.0'))
    assert compute_statement(maker.load(run.request)).startswith("Not equal in wall-clock time")
    assert compute_statement(maker.run(seeds=(9,), progress="waiting")) == ""


def test_rows_of_the_paper_alone_and_facts_of_both(maker: StoreMaker) -> None:
    theirs = Row(
        name="theirs", label="Theirs", trained=False, published={"rfid": 3.0}, facts={"#Code": "8,192"}
    )
    experiment = with_rows(EXPERIMENT, *EXPERIMENT.rows, theirs, facts=("#Code",))
    table = headline(maker.run(experiment, facts={"ratio-0.5": {"#Code": "512"}}))
    first, *_, last = table.groups[0].lines
    assert (last.note, last.muted, [cell.text for cell in last.cells]) == (
        "published only",
        True,
        ["8,192", "3.00", "", "", "", "", ""],
    )
    assert (first.cells[0].text, first.cells[0].note) == ("", "here 512")


def test_a_row_may_have_steps_of_its_own(maker: StoreMaker) -> None:
    single = EXPERIMENT.rows[0].model_copy(update={"steps": 1})
    run = maker.run(with_rows(EXPERIMENT, single, *EXPERIMENT.rows[1:]))
    at_one = by_seed(select(run.frame, row="ratio-0.5", steps=1, metric="rfid", extractor=CLASSIFIER))
    first = lines(run)[0]
    assert first.cells[1].text.startswith(f"{math.fsum(at_one.values()) / 3:.2f}")
    assert first.label.endswith(", T=1")


def test_every_number_is_in_a_table(maker: StoreMaker) -> None:
    def measure(row: str, seed: int) -> list[dict[str, Any]]:
        return [*like_table4(row, seed), line("psnr", 3.0 + seed, steps=8, **{"class": "Bag"})]

    plain, by_class = numbers.tables(maker.run(measure=measure))
    assert [column.name for column in plain.columns] == ["Row", "any", "T=1", "T=2", "T=4", "T=8", "T=16"]
    headings = [group.heading for group in plain.groups]
    assert headings == [
        f"rFID ↓ · {CLASSIFIER}",
        f"rFID ↓ · {LITE}",
        f"IS ↑ · {CLASSIFIER}",
        "PSNR (dB) ↑",
        "codebook_usage",
    ]
    assert [each.label for each in plain.groups[0].lines][-1] == "Teacher's own reconstruction"
    assert plain.groups[-1].lines[0].cells[0].text.startswith("0.98")
    assert [column.name for column in by_class.columns] == ["Row", "class Bag"]
    assert by_class.groups[0].lines[0].cells[0].text == "4.00 ± 2.48"


def test_published_metrics_come_first_and_unknown_ones_last(maker: StoreMaker) -> None:
    run = maker.run(seeds=(0,))
    assert display_order(run, ["zeta", "psnr", "is", "alpha", "rfid"]) == [
        "rfid",
        "is",
        "psnr",
        "alpha",
        "zeta",
    ]


def test_different_protocols_are_not_compared_silently(maker: StoreMaker, report: Any) -> None:
    run = maker.run(seeds=(0,))
    assert "different protocols" not in report(run)
    path = (run.rows[0].evaluation.folder or maker.store.root) / "result.json"
    path.write_text(path.read_text().replace("9f2c41d07a35", "another"))
    assert "evaluated under 2 different protocols" in report(maker.load(run.request))
