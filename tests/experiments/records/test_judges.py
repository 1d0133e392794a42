"""The rule that picks the judges, and what verdicts say where they differ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from stored_runs import CLASSIFIER, LITE, artifact, like_table4, line

from experiments.records import Run
from experiments.records.judges import choose, discernment, why_not
from experiments.records.verdicts import judge
from sftok.calibration.report import LABELS, Mean, SpaceReport

if TYPE_CHECKING:
    from stored_runs import StoreMaker

FOLLOWS = Mean(mean=0.99, low=0.95, high=1.0)
LOST = Mean(mean=0.8, low=0.3, high=1.0)


def report(space: str, right: float = 0.9, blur: Mean = FOLLOWS, **more: Any) -> SpaceReport:
    return SpaceReport(
        space=space,
        rho=dict.fromkeys(LABELS, FOLLOWS) | {"blur": blur},
        right={name: {50: 1.0, 500: 1.0} for name in LABELS} | {"shift": {50: right, 500: 1.0}},
        wrong_over_blurred={"same_class": Mean(mean=1.0, low=0.5, high=1.5)},
        **more,
    )


def test_a_space_that_does_not_follow_one_distortion_is_no_judge() -> None:
    judges = choose([report("good"), report("blind", blur=LOST)])
    assert judges.calibrated == ("good",)
    assert judges.refused == {"blind": "FID does not follow blur: rho 0.80 [0.30, 1.00]"}


def test_a_space_whose_seeds_disagree_is_no_judge() -> None:
    assert why_not(report("steady", seed_agreement=0.9)) == ""
    assert why_not(report("fickle", seed_agreement=0.89)) == "two seeds of its network disagree: rho 0.89"


def test_the_best_judge_tells_most_apart_where_it_does_so_worst() -> None:
    assert choose([report("a", 0.7), report("b", 0.9), report("c", 0.8)]).calibrated == ("b", "c", "a")
    assert choose([report("first"), report("second")]).calibrated == ("first", "second"), "as in the profile"
    assert discernment(report("a", 0.7)) == (0.7, 1.0)


def test_which_of_blurred_and_wrong_is_worse_to_a_space_plays_no_part() -> None:
    other_side = {"same_class": Mean(mean=-1.0, low=-1.5, high=-0.5)}
    changed = report("b").model_copy(update={"wrong_over_blurred": other_side})
    assert choose([report("a", 0.8), changed]).calibrated == ("b", "a")


def test_a_network_that_training_pleases_is_no_judge() -> None:
    judges = choose([report("a", 0.9), report("b", 0.8)], trained_in=["a"])
    assert (judges.calibrated, list(judges.refused)) == (("b",), ["a"])
    assert judges.known
    assert not choose([]).known


def judged(maker: StoreMaker, *reports: SpaceReport, measure: Any = like_table4, **changes: Any) -> Run:
    """Table 4, run in two spaces that were calibrated with these reports."""
    calibration = artifact("calibration", "calibration")
    run = maker.run(calibration=calibration, measure=measure, **changes)
    if reports:
        maker.finish(calibration, spaces=[each.model_dump(mode="json") for each in reports])
    return maker.load(run.request)


def reversed_in_lite(row: str, seed: int) -> list[dict[str, Any]]:
    numbers = like_table4(row, seed)
    return [each | {"value": -each["value"]} if each["extractor"] == LITE else each for each in numbers]


def test_the_primary_space_is_the_best_judge_whatever_the_profile_names(maker: StoreMaker) -> None:
    run = judged(maker, report(CLASSIFIER, 0.7), report(LITE, 0.9))
    assert (run.request.primary_extractor, run.primary_extractor) == (CLASSIFIER, LITE)
    assert [(each.extractor, each.primary) for each in judge(run)] == [(LITE, True), (CLASSIFIER, False)]


def test_without_a_calibration_the_profiles_space_is_primary(maker: StoreMaker) -> None:
    without = judged(maker)
    assert without.primary_extractor == CLASSIFIER
    assert not any(each.calibrated for each in judge(without))


def test_judges_that_differ_are_counted_in_the_headline(maker: StoreMaker) -> None:
    first, second = judge(judged(maker, report(CLASSIFIER), report(LITE, 0.7), measure=reversed_in_lite))
    assert (first.outcome, first.spread) == ("agrees", "in 1 of 2 spaces")
    assert (second.outcome, second.spread) == ("disagrees", "")


@pytest.mark.parametrize("lite", [report(LITE, blur=LOST), report(LITE, 0.7)])
def test_what_is_no_judge_is_not_counted(maker: StoreMaker, lite: SpaceReport) -> None:
    trained_in = () if why_not(lite) else (LITE,)
    run = judged(maker, report(CLASSIFIER), lite, measure=reversed_in_lite, trained_in=trained_in)
    assert [each.spread for each in judge(run)] == ["", ""]


def test_a_metric_that_the_best_judge_lacks_is_judged_by_the_next(maker: StoreMaker) -> None:
    def only_in_classifier(row: str, seed: int) -> list[dict[str, Any]]:
        return [line("rfid", 2.0 + 0.01 * seed, CLASSIFIER, steps=8)]

    spaces = (report(LITE, 0.9), report(CLASSIFIER, 0.7))
    run = judged(maker, *spaces, measure=only_in_classifier, references=())
    assert judge(run)[0].extractor == CLASSIFIER


def test_a_damaged_calibration_is_none(maker: StoreMaker) -> None:
    run = judged(maker)
    maker.finish(run.request.calibration, spaces=[{"space": "x"}])
    assert not maker.load(run.request).judges.known


def test_a_space_of_constant_features_is_no_judge() -> None:
    nothing = Mean(mean=math.nan, low=math.nan, high=math.nan)
    judges = choose([report("good"), report("collapsed", blur=nothing)])
    assert judges.calibrated == ("good",)
    assert judges.refused["collapsed"].startswith("FID does not follow blur")
    assert "disagree" in why_not(report("fickle", seed_agreement=math.nan))
