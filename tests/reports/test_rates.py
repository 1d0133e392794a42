"""Bits, size and speed beside the results; footnotes, and systems that stand apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stored_runs import CLASSIFIER, line, with_rows

from experiments.paper.table4 import EXPERIMENT
from experiments.records import Run
from experiments.specs import Row
from reports.sections import rates, results

if TYPE_CHECKING:
    from stored_runs import StoreMaker

FACTS = {"Token length": "1024 (32×32)", "#Code": "8,192"}
LATER = Row(
    name="later",
    label="Later",
    trained=False,
    apart=True,
    published={"rfid": 0.5},
    facts=FACTS,
    note="arXiv 1",
)


def numbers(row: str, seed: int) -> list[dict[str, Any]]:
    return [
        line("rfid", 2.0 + 0.1 * seed, CLASSIFIER, steps=8),
        line("rfid", 9.0, CLASSIFIER, steps=1),
        line("parameters", 2_500_000.0),
        line("encoding_rate", 1234.0 + 2 * seed),
        line("decoding_rate", 56.0, steps=8),
        line("codebook_usage", 0.5),
    ]


def made(maker: StoreMaker) -> Run:
    first, *others = EXPERIMENT.rows
    noted = first.model_copy(update={"note": "of another protocol", "facts": FACTS})
    experiment = with_rows(EXPERIMENT, noted, *others, LATER, rates=True)
    facts = {row.name: {"Token length": "2", "#Code": "512"} for row in experiment.trained_rows}
    return maker.run(experiment, seeds=(0, 1), measure=numbers, facts=facts)


def test_a_line_has_bits_size_speed_and_use_at_its_number_of_steps(maker: StoreMaker) -> None:
    (group,) = rates.table(made(maker)).groups
    cells = [cell.text for cell in group.lines[0].cells]
    assert cells[:6] == ["13,312", "18", "2.5 M", "1,235", "56", "50 %"]
    assert cells[6].endswith("s")
    assert "Later" not in [each.label for each in group.lines]


def test_charts_are_of_published_and_of_measured_values(maker: StoreMaker) -> None:
    published, here = rates.charts(made(maker))
    assert "Later: 0.5 at 13,312" in published.alternative
    assert ": 2.05 at 18" in here.alternative
    assert "9 at" not in here.alternative


def test_what_is_no_result_of_the_paper_stands_apart_and_wins_nothing(maker: StoreMaker) -> None:
    table = results.headline(made(maker))
    assert table.groups[-1].heading == results.APART
    (later,) = table.groups[-1].lines
    assert (later.label, later.note, later.muted) == ("Later", "arXiv 1", True)
    assert not any(cell.best for cell in later.cells)


def test_a_note_on_a_published_value_is_a_footnote(maker: StoreMaker, report: Callable[..., str]) -> None:
    run = made(maker)
    page = report(run, name=f"{run.experiment.name}.html")
    assert f"(1) {run.experiment.rows[0].label}: of another protocol" in page
    assert 'id="rates"' in page
