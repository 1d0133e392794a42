"""The page of the calibration, and the judges on the pages of other experiments."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from stored_runs import CLASSIFIER, LITE, SPECS, line

from experiments.records import Run
from reports.sections import judges
from sftok.calibration.report import LABELS, Mean, SpaceReport

if TYPE_CHECKING:
    from stored_runs import StoreMaker


def report(space: str, rho: float = 0.97, side: float = 1.0) -> SpaceReport:
    return SpaceReport(
        space=space,
        rho=dict.fromkeys(LABELS, Mean(mean=rho, low=rho - 0.02, high=1.0)),
        right={name: {50: 0.9, 500: 1.0} for name in LABELS},
        wrong_over_blurred={
            kind: Mean(mean=side, low=side - 0.1, high=side + 0.1) for kind in ("same_class", "other_class")
        },
        seed_agreement=0.98 if space == CLASSIFIER else None,
        seed_movement=0.12 if space == CLASSIFIER else None,
    )


def measured(row: str, seed: int) -> list[dict[str, Any]]:
    found = []
    for space, scale in ((CLASSIFIER, 1.0), (LITE, 300.0)):
        for draw in range(3):
            places = [("none", 0.0), *((name, 0.1 * level) for name in LABELS for level in (1, 2, 3))]
            places += [(f"blurred_to_{kind}", share) for kind in ("same_class",) for share in (0.0, 0.5, 1.0)]
            found += [
                line("rfid", scale * (1 + strength) * (1 + 0.05 * draw), space, "calibration")
                | {"distortion": name, "strength": strength, "draw": draw}
                for name, strength in places
            ]
    return found


@pytest.fixture
def calibrated(maker: StoreMaker) -> Run:
    spaces = [report(CLASSIFIER), report(LITE, rho=0.5, side=-1.0)]
    request = maker.request(SPECS["judges"])
    own = request.model_copy(update={"calibration": request.by_name[request.rows[0].evaluation]})
    maker.finish(own.calibration, rows=measured("", 0), spaces=[each.model_dump() for each in spaces])
    return maker.load(own)


def test_the_conclusion_names_judges_refusals_and_sides(calibrated: Run) -> None:
    said = judges.conclusion(calibrated)
    assert said.startswith(f"1 of 2 spaces are calibrated, the best first: {CLASSIFIER}. {LITE} is not: FID")
    sides = f"wrong images are worse according to {CLASSIFIER}; blurred images are worse according to {LITE}"
    assert sides in said


def test_there_is_a_curve_for_each_distortion_from_0_to_1(calibrated: Run) -> None:
    charts = judges.curves(calibrated, [CLASSIFIER, LITE], mixed=False)
    assert [chart.title for chart in charts] == [label for label, _ in LABELS.values()]
    assert f"{LITE}: 0 at 0, 1 at 0.3" in charts[0].alternative
    (mixed,) = judges.curves(calibrated, [CLASSIFIER, LITE], mixed=True)
    assert f"{CLASSIFIER}: 1 at 0, 2 at 1" in mixed.alternative


def test_the_table_says_what_the_rule_looks_at(calibrated: Run) -> None:
    first, second = judges.summary(calibrated, judges.reports_of(calibrated)).groups[0].lines
    shown = [cell.text for cell in first.cells]
    assert shown == ["1", "0.97", "90 %", "500", "0.980", "2.00", "2.00"]
    assert first.cells[4].note == "FID moves by 12 %"
    assert first.cells[5].note == "[1.87, 2.14]"
    assert second.cells[0].text == "no"


def test_the_page_has_the_section_and_no_empty_results(calibrated: Run, report: Callable[..., str]) -> None:
    page = report(calibrated, name="judges.html")
    assert 'id="judges"' in page
    assert 'id="results"' not in page
    assert "the best of 1 calibrated space" in page


def test_other_pages_say_whether_their_spaces_are_calibrated(
    maker: StoreMaker, report: Callable[..., str]
) -> None:
    assert "not calibrated in this store" in report(maker.run())
