"""Verdicts: known intervals, their symmetries, and what is not decided."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from experiments.records import Run
from experiments.records.estimates import estimate
from experiments.records.verdicts import ComparisonResult, Verdict, compare, is_extractor, judge, place
from experiments.specs import Claim, Comparison, Experiment, Row

if TYPE_CHECKING:
    from stored_runs import StoreMaker


def claim(order: str, metric: str = "rfid") -> Claim:
    return Claim(name="order", text="text", source="here", metric=metric, order=(order,))


AB, BA = (claim(order).comparisons[0] for order in ("a@8 < b@8", "b@8 < a@8"))
A_OVER_B, B_OVER_A = (claim(order).comparisons[0] for order in ("a@8 > b@8", "b@8 > a@8"))

values = st.floats(-1e4, 1e4)
sides = st.dictionaries(st.integers(0, 9), st.tuples(values, values), min_size=1, max_size=6)
# As seeds differ where there is an effect: much between them, little in how far the two rows are apart.
apart = st.builds(
    lambda shift, pairs: {seed: (value, value + shift + noise) for seed, (value, noise) in pairs.items()},
    st.sampled_from([-3.0, 3.0]),
    st.dictionaries(
        st.integers(0, 9), st.tuples(st.floats(0, 100), st.floats(-0.5, 0.5)), min_size=3, max_size=6
    ),
)


def _compare(a: dict[int, float], b: dict[int, float], comparison: Comparison = AB) -> ComparisonResult:
    return compare(comparison, a, b)


# Estimates


def test_the_interval_of_three_known_values() -> None:
    found = estimate([0.1, 0.2, 0.3])
    assert found.n == 3
    assert found.mean == pytest.approx(0.2)
    # t quantile 4.302653 at two degrees of freedom, standard deviation 0.1.
    assert found.half_width == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-6)
    assert (found.low, found.high) == (pytest.approx(-0.048414, abs=1e-6), pytest.approx(0.448414, abs=1e-6))


def test_the_interval_is_that_of_the_paired_t_test() -> None:
    a, b = [2.16, 2.22, 2.19, 2.25], [2.41, 2.39, 2.52, 2.44]
    found = _compare(dict(enumerate(a)), dict(enumerate(b))).difference
    reference = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(reference.low), pytest.approx(reference.high))


def test_one_value_has_no_interval() -> None:
    found = estimate([2.18])
    assert (found.mean, found.half_width, found.low, found.high) == (2.18, None, None, None)


def test_equal_values_have_a_width_of_exactly_nothing() -> None:
    found = estimate([0.1] * 3)
    assert (found.mean, found.half_width) == (0.1, 0.0)


def test_a_value_that_is_not_finite_has_no_interval() -> None:
    assert math.isnan(estimate([1.0, math.nan]).mean)
    assert math.isnan(estimate([1.0, math.inf]).mean)
    assert estimate([1.0, math.nan]).half_width is None
    with pytest.raises(ValueError, match="at least one value"):
        estimate([])


# Comparisons


def test_a_clear_difference_agrees_or_disagrees() -> None:
    a, b = {0: 2.1, 1: 2.2, 2: 2.15}, {0: 3.1, 1: 3.25, 2: 3.1}
    assert _compare(a, b).outcome == "agrees"
    assert _compare(b, a).outcome == "disagrees"
    assert _compare(b, a, A_OVER_B).outcome == "agrees"


def test_an_interval_around_zero_decides_nothing() -> None:
    found = _compare({0: 2.1, 1: 2.5, 2: 2.2}, {0: 2.3, 1: 2.4, 2: 2.5})
    assert found.outcome == "inconclusive"
    assert found.reason == "the 95 % interval over 3 seeds contains zero; the mean points the claimed way"


def test_one_seed_decides_nothing_but_has_a_direction() -> None:
    assert _compare({0: 2.1}, {0: 3.1}).outcome == "inconclusive"
    assert (
        _compare({0: 2.1}, {0: 3.1}).reason == "one seed: no interval; the difference points the claimed way"
    )
    assert _compare({0: 3.1}, {0: 2.1}).reason == "one seed: no interval; the difference points the other way"
    assert _compare({0: 2.1}, {0: 2.1}).reason == "one seed: no interval; the difference is zero"


def test_only_common_seeds_are_paired() -> None:
    found = _compare({0: 2.1, 1: 2.2, 2: 9.9}, {0: 3.1, 1: 3.25, 5: 0.0})
    assert found.seeds == (0, 1)
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(-1.025)
    assert "(seeds 2, 5 missing on one side, left out)" in found.reason
    assert _compare({0: 1.0}, {1: 2.0}).outcome == "pending"


def test_equal_differences_are_not_taken_for_certainty() -> None:
    found = _compare({0: 2.1, 1: 2.2, 2: 2.3}, {0: 3.1, 1: 3.2, 2: 3.3})
    assert found.outcome == "inconclusive"
    assert found.reason == "the same difference at all 3 seeds: no spread to compute an interval from"


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_diverged_seed_is_named_and_not_dropped(broken: float) -> None:
    found = _compare({0: 2.1, 1: broken, 2: 2.0}, {0: 3.1, 1: 3.2, 2: 3.2})
    assert found.outcome == "inconclusive"
    assert found.reason == "seed 1 gave a value that is not a finite number"


@given(sides | apart, st.booleans())
def test_swapping_the_sides_flips_the_verdict(pairs: dict[int, tuple[float, float]], lower: bool) -> None:
    a = {seed: pair[0] for seed, pair in pairs.items()}
    b = {seed: pair[1] for seed, pair in pairs.items()}
    found, swapped = compare(AB if lower else A_OVER_B, a, b), compare(BA if lower else B_OVER_A, b, a)
    flipped = {"agrees": "disagrees", "disagrees": "agrees"}
    assert swapped.outcome == flipped.get(found.outcome, found.outcome)
    assert found.difference is not None
    assert swapped.difference is not None
    assert swapped.difference.mean == -found.difference.mean
    assert swapped.difference.half_width == found.difference.half_width
    assert compare(B_OVER_A if lower else BA, b, a).outcome == found.outcome


@given(sides, st.randoms(use_true_random=False))
def test_the_order_of_the_seeds_does_not_matter(pairs: dict[int, tuple[float, float]], random: Any) -> None:
    seeds = list(pairs)
    random.shuffle(seeds)
    shuffled = _compare(
        {seed: pairs[seed][0] for seed in seeds}, {seed: pairs[seed][1] for seed in seeds[::-1]}
    )
    assert shuffled == _compare({s: p[0] for s, p in pairs.items()}, {s: p[1] for s, p in pairs.items()})


@given(sides, st.floats(-100, 100))
def test_a_shift_of_all_values_changes_no_difference(
    pairs: dict[int, tuple[float, float]], shift: float
) -> None:
    found = _compare({s: p[0] for s, p in pairs.items()}, {s: p[1] for s, p in pairs.items()})
    shifted = _compare(
        {s: p[0] + shift for s, p in pairs.items()}, {s: p[1] + shift for s, p in pairs.items()}
    )
    assert found.difference is not None
    assert shifted.difference is not None
    assert shifted.difference.mean == pytest.approx(found.difference.mean, abs=1e-8)
    assume(found.difference.half_width is not None)
    assert shifted.difference.half_width == pytest.approx(found.difference.half_width, abs=1e-7)


# Verdicts of a run

SPACE = "classifier@28"
WOBBLE = (0.0, 0.011, -0.007)
LEVEL = {"a": 1.0, "b": 1.0, "c": 1.0}


def experiment(order: str = "a@8 < b@8 < c@8", metric: str = "rfid") -> Experiment:
    rows = tuple(Row(name=name, label=f"row {name}") for name in "abc")
    claims = (claim(order, metric),)
    return Experiment(
        name="t", kind="table", title="t", source="s", description="d", rows=rows, claims=claims
    )


def run_of(
    maker: StoreMaker,
    levels: dict[str, float],
    space: str = SPACE,
    metric: str = "rfid",
    **more: Any,
) -> Run:
    """A run in which every seed of a row lies near the row's level."""
    from stored_runs import line

    def measure(row: str, seed: int) -> list[dict[str, Any]]:
        value = levels[row] + WOBBLE[seed % 3] * (1 + "abc".index(row))
        return [line(metric, value, space, steps=8)]

    made = more.pop("experiment", experiment())
    seeds = more.pop("seeds", (0, 1, 2))
    return maker.run(made, seeds=seeds, measure=measure, references=[], **more)


def only(run: Run) -> Verdict:
    (verdict,) = judge(run)
    return verdict


def test_a_claim_agrees_if_all_comparisons_do(maker: StoreMaker) -> None:
    verdict = only(run_of(maker, {"a": 1.0, "b": 2.0, "c": 3.0}))
    assert (verdict.outcome, verdict.extractor, verdict.primary) == ("agrees", SPACE, True)
    assert verdict.reason == "both comparisons: the 95 % interval over 3 seeds lies on the claimed side"
    assert verdict.remedy is None


def test_a_claim_disagrees_if_one_comparison_does(maker: StoreMaker) -> None:
    verdict = only(run_of(maker, {"a": 1.0, "b": 3.0, "c": 2.0}))
    assert verdict.outcome == "disagrees"
    assert [item.outcome for item in verdict.comparisons] == ["agrees", "disagrees"]
    assert verdict.reason.startswith("1 of 2 comparisons")


def test_one_undecided_comparison_leaves_the_claim_open(maker: StoreMaker) -> None:
    assert only(run_of(maker, {"a": 1.0, "b": 2.0, "c": 2.0})).outcome == "inconclusive"
    assert only(run_of(maker, {"a": 1.0, "b": 2.0, "c": 3.0}, seeds=(0,))).outcome == "inconclusive"


@pytest.mark.parametrize("levels", [{"a": 1.0, "b": 3.0, "c": 2.0}, {"a": 2.0, "b": 1.0, "c": 3.0}])
def test_of_several_reasons_the_one_most_against_the_claim_is_told(
    maker: StoreMaker, levels: dict[str, float]
) -> None:
    verdict = only(run_of(maker, levels, seeds=(0,)))
    against = "row b (T=8) against row c (T=8)" if levels["b"] == 3.0 else "row a (T=8) against row b (T=8)"
    assert verdict.reason == (
        f"both comparisons, among them {against}: one seed: no interval; the difference points the other way"
    )


def test_no_verdict_before_the_last_seed_unless_it_is_against_the_claim(maker: StoreMaker) -> None:
    run = run_of(maker, {"a": 1.0, "b": 2.0, "c": 3.0})
    last = run.request.by_name[run.rows[-1].evaluation.name]
    (maker.store.folder(last) / "result.json").unlink()
    verdict = only(maker.load(run.request))
    assert verdict.outcome == "pending"
    assert verdict.comparisons[1].difference is not None, "what is known so far is shown"
    assert verdict.reason.startswith("1 of 2 comparisons: seed 2 still to come; so far: ")


def test_a_settled_disagreement_does_not_wait(maker: StoreMaker) -> None:
    run = run_of(maker, {"a": 4.0, "b": 2.0, "c": 3.0})
    last = run.request.by_name[run.rows[-1].evaluation.name]
    (maker.store.folder(last) / "result.json").unlink()
    assert only(maker.load(run.request)).outcome == "disagrees"


def test_what_is_missing_is_pending_with_the_reason(maker: StoreMaker) -> None:
    levels = {"a": 1.0, "b": 2.0, "c": 3.0}
    waiting = only(run_of(maker, levels, progress="waiting"))
    assert (waiting.outcome, waiting.extractor) == ("pending", SPACE), "the primary space, before any result"
    assert waiting.reason == "both comparisons: not measured yet"
    psnr = only(run_of(maker, levels, experiment=experiment(metric="psnr")))
    assert "not measured there" in psnr.reason


def test_failed_and_absent_rows_are_named(maker: StoreMaker) -> None:
    levels = {"a": 1.0, "b": 2.0, "c": 3.0}
    failed = run_of(maker, levels, seeds=(0,), progress="failed")
    assert "row b failed" in only(failed).reason
    without = failed.request.model_copy(update={"rows": failed.request.rows[:2]})
    assert only(maker.load(without)).comparisons[1].reason == "no pair of values: row b failed"
    absent = failed.request.model_copy(update={"rows": failed.request.rows[:1]})
    assert "row b is not part of this run" in only(maker.load(absent)).reason


def test_each_feature_space_has_its_verdict_the_primary_first(maker: StoreMaker) -> None:
    run = run_of(maker, {"a": 1.0, "b": 2.0, "c": 3.0}, space="a-net@64", primary_extractor="classifier")
    first, second = judge(run)
    assert (first.extractor, first.primary, first.outcome) == ("classifier", True, "pending")
    assert (second.extractor, second.primary, second.outcome) == ("a-net@64", False, "agrees")


def test_a_metric_of_pixels_has_one_verdict_without_a_feature_space(maker: StoreMaker) -> None:
    spec = experiment("a@8 > b@8 > c@8", "psnr")
    verdict = only(run_of(maker, {"a": 3.0, "b": 2.0, "c": 1.0}, space="", metric="psnr", experiment=spec))
    assert (verdict.extractor, verdict.primary, verdict.outcome) == ("", True, "agrees")


def test_points_select_by_any_coordinate_and_metric(maker: StoreMaker) -> None:
    from stored_runs import line

    def measure(row: str, seed: int) -> list[dict[str, Any]]:
        near, far = 0.1 + WOBBLE[seed], 0.5 + 2 * WOBBLE[seed]
        return [
            line("kl_to_final", near, step=1, positions="all"),
            line("kl_to_truth", far, step=1, positions="all"),
        ]

    order = "a@step=1,positions=all < a:kl_to_truth@step=1,positions=all"
    run = maker.run(experiment(order, "kl_to_final"), measure=measure)
    assert only(run).outcome == "agrees"
    assert place(only(run).comparisons[0].comparison.left.coordinates) == "step 1, all positions"
    assert place({"context": "own", "visible": 0.5}) == "context own, 50% visible"


def test_a_point_that_says_too_little_decides_nothing(maker: StoreMaker) -> None:
    verdict = judge(maker.run(experiment("a < b"), seeds=(0,)))[0]
    assert verdict.outcome == "inconclusive"
    assert "the coordinates of row a or row b are ambiguous" in verdict.reason


@pytest.mark.parametrize(
    ("seeds", "command", "expected"),
    [
        ((0,), "python -m experiments run t", "python -m experiments run t --seeds 3"),
        ((0,), "x run all --profile smoke --seeds 1 --yes", "x run t --profile smoke --yes --seeds 3"),
        ((4,), "x run t --seeds=4, --store 'my runs'", "x run t --store 'my runs' --seeds 0,1,4"),
        ((0, 1), "x run t --seeds 2", "x run t --seeds 3"),
    ],
)
def test_too_few_seeds_come_with_the_command_for_more(
    maker: StoreMaker, seeds: tuple[int, ...], command: str, expected: str
) -> None:
    run = run_of(maker, LEVEL, seeds=seeds, experiment=experiment("a@8 < b@8"), command=command)
    remedy = only(run).remedy
    assert remedy is not None
    assert (remedy.seeds, remedy.command) == (3, expected)
    # A seed: a warm-up, three alignments of 402 s and more, three evaluations, but no teacher.
    each = 88 + 402 + 405 + 408 + 3 * 64
    first = sum(seeds) / len(seeds) * 3
    assert remedy.seconds == pytest.approx((each + first) * (3 - len(seeds)))


def test_the_cost_of_more_seeds_is_unknown_before_one_is_done(maker: StoreMaker) -> None:
    run = run_of(maker, LEVEL, seeds=(0,), experiment=experiment("a@8 < a@8"))
    last = run.request.by_name[run.rows[-1].evaluation.name]
    (maker.store.folder(last) / "result.json").unlink()
    verdict = only(maker.load(run.request))
    assert verdict.remedy is not None
    assert verdict.remedy.seconds is None


def test_extractors_are_matched_by_name_at_any_resolution() -> None:
    assert is_extractor("classifier", "classifier")
    assert is_extractor("classifier@28", "classifier")
    assert not is_extractor("inception-v3-compat@299", "inception-v3")
    assert not is_extractor("classifier2", "classifier")


def test_rows_measured_under_different_protocols_are_not_compared(maker: StoreMaker) -> None:
    run = run_of(maker, {"a": 1.0, "b": 2.0, "c": 3.0}, experiment=experiment("a@8 < b@8"))
    run.frame.loc[run.frame["row"] == "b", "protocol"] = "another"
    (verdict,) = judge(run)
    assert verdict.outcome == "inconclusive"
    assert verdict.reason.startswith("not comparable: measured under different protocols")


def test_a_seed_that_failed_in_both_rows_is_named(maker: StoreMaker) -> None:
    run = run_of(maker, {"a": 1.0, "b": 2.0, "c": 3.0}, experiment=experiment("a@8 < b@8"))
    rows = [replace(state, status="failed") if state.seed == 2 else state for state in run.rows]
    failed = replace(run, rows=tuple(rows))
    failed.__dict__["frame"] = run.frame[run.frame["seed"] != 2]
    (verdict,) = judge(failed)
    assert verdict.reason.endswith("(seed 2 failed, left out)")
    assert verdict.seeds == 2


def test_more_seeds_are_no_remedy_for_rows_that_are_not_trained_with_one(maker: StoreMaker) -> None:
    run = run_of(maker, {"a": 1.0, "b": 2.0, "c": 3.0}, seeds=(0,), experiment=experiment("a@8 < b@8"))
    assert judge(run)[0].remedy is not None
    released = replace(run, rows=tuple(replace(state, training=()) for state in run.rows))
    assert judge(released)[0].remedy is None


def test_analyses_with_settings_of_their_own_are_compared(maker: StoreMaker) -> None:
    run = run_of(maker, {"a": 1.0, "b": 2.0, "c": 3.0}, experiment=experiment("a@8 < b@8"))
    run.frame.loc[run.frame["row"] == "b", ["artifact", "protocol"]] = ["an analysis", "another"]
    assert judge(run)[0].outcome == "agrees"
