"""Verdicts: known intervals, their symmetries, and what is not decided."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from experiments.records.results import ArtifactState, ResultRow, RowRun, Status, TableRun
from experiments.records.verdicts import (
    Cells,
    ComparisonResult,
    Verdict,
    cells,
    compare,
    estimate,
    is_extractor,
    judge,
)
from experiments.spec import Claim, Comparison, Experiment, Point, Row

AB = Comparison(better=Point(row="a", steps=8), worse=Point(row="b", steps=8))
BA = Comparison(better=AB.worse, worse=AB.better)

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


def _compare(a: dict[int, float], b: dict[int, float], lower_is_better: bool = True) -> ComparisonResult:
    return compare(AB, a, b, lower_is_better)


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
    assert _compare(b, a, lower_is_better=False).outcome == "agrees"


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
    assert found.reason == "the same difference at all 3 seeds: no spread to judge it by"


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_diverged_seed_is_named_and_not_dropped(broken: float) -> None:
    found = _compare({0: 2.1, 1: broken, 2: 2.0}, {0: 3.1, 1: 3.2, 2: 3.2})
    assert found.outcome == "inconclusive"
    assert found.reason == "seed 1 gave a value that is not a finite number"


@given(sides | apart, st.booleans())
@settings(deadline=None)
def test_swapping_the_sides_flips_the_verdict(pairs: dict[int, tuple[float, float]], lower: bool) -> None:
    a = {seed: pair[0] for seed, pair in pairs.items()}
    b = {seed: pair[1] for seed, pair in pairs.items()}
    found, swapped = compare(AB, a, b, lower), compare(BA, b, a, lower)
    flipped = {"agrees": "disagrees", "disagrees": "agrees"}
    assert swapped.outcome == flipped.get(found.outcome, found.outcome)
    assert found.difference is not None
    assert swapped.difference is not None
    assert swapped.difference.mean == -found.difference.mean
    assert swapped.difference.half_width == found.difference.half_width
    assert compare(BA, b, a, not lower).outcome == found.outcome


@given(sides, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_the_seeds_does_not_matter(pairs: dict[int, tuple[float, float]], random: Any) -> None:
    seeds = list(pairs)
    random.shuffle(seeds)
    shuffled = _compare(
        {seed: pairs[seed][0] for seed in seeds}, {seed: pairs[seed][1] for seed in seeds[::-1]}
    )
    assert shuffled == _compare({s: p[0] for s, p in pairs.items()}, {s: p[1] for s, p in pairs.items()})


@given(sides, st.floats(-100, 100))
@settings(deadline=None)
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


def _experiment(metric: str = "rfid", lower_is_better: bool = True) -> Experiment:
    second = Comparison(better=Point(row="b", steps=8), worse=Point(row="c", steps=8))
    claim = Claim(
        name="order",
        text="a < b < c",
        source="here",
        metric=metric,
        lower_is_better=lower_is_better,
        comparisons=(AB, second),
    )
    rows = tuple(Row(name=name, label=f"row {name}") for name in "abc")
    return Experiment(
        name="t", kind="table", title="t", source="s", description="d", rows=rows, claims=(claim,)
    )


def _row(name: str, seed: int, values: dict[tuple[str, str], float], status: Status = "done") -> RowRun:
    results = tuple(
        ResultRow(
            table="t",
            row=name,
            seed=seed,
            profile="cpu",
            steps=8,
            temperature=0.0,
            metric=metric,
            extractor=extractor,
            value=value,
            n_images=100,
            artifact="k",
        )
        for (metric, extractor), value in values.items()
    )
    evaluation = ArtifactState(kind="evaluation", key="k", label="evaluation", status=status)
    return RowRun(row=name, seed=seed, status=status, evaluation=evaluation, training=(), results=results)


def _run(rows: list[RowRun], experiment: Experiment | None = None) -> TableRun:
    return TableRun(
        experiment=experiment or _experiment(),
        profile="cpu",
        meaningless=False,
        seeds=tuple(sorted({row.seed for row in rows})),
        overrides={},
        data="images",
        command="run t",
        requested="2025-01-01T00:00:00+00:00",
        primary_extractor="classifier",
        artifacts=(),
        rows=tuple(rows),
        config={},
        complete=all(row.status == "done" for row in rows),
    )


def _rows(levels: dict[str, float], extractor: str = "classifier@28", seeds: int = 3) -> list[RowRun]:
    wobble = (0.0, 0.011, -0.007)
    return [
        _row(name, seed, {("rfid", extractor): level + wobble[seed] * (1 + index)})
        for index, (name, level) in enumerate(levels.items())
        for seed in range(seeds)
    ]


def _only(run: TableRun) -> Verdict:
    (verdict,) = judge(run)
    return verdict


def test_a_claim_agrees_if_all_comparisons_do() -> None:
    verdict = _only(_run(_rows({"a": 1.0, "b": 2.0, "c": 3.0})))
    assert (verdict.outcome, verdict.extractor, verdict.primary) == ("agrees", "classifier@28", True)
    assert verdict.reason == "both comparisons: the 95 % interval over 3 seeds lies on the claimed side"


def test_a_claim_disagrees_if_one_comparison_does() -> None:
    verdict = _only(_run(_rows({"a": 1.0, "b": 3.0, "c": 2.0})))
    assert verdict.outcome == "disagrees"
    assert [item.outcome for item in verdict.comparisons] == ["agrees", "disagrees"]
    assert verdict.reason.startswith("1 of 2 comparisons")


def test_one_undecided_comparison_leaves_the_claim_open() -> None:
    assert _only(_run(_rows({"a": 1.0, "b": 2.0, "c": 2.0}))).outcome == "inconclusive"
    assert _only(_run(_rows({"a": 1.0, "b": 2.0, "c": 3.0}, seeds=1))).outcome == "inconclusive"


@pytest.mark.parametrize("levels", [{"a": 1.0, "b": 3.0, "c": 2.0}, {"a": 2.0, "b": 1.0, "c": 3.0}])
def test_of_several_reasons_the_one_most_against_the_claim_is_told(levels: dict[str, float]) -> None:
    verdict = _only(_run(_rows(levels, seeds=1)))
    against = "row b (T=8) against row c (T=8)" if levels["b"] == 3.0 else "row a (T=8) against row b (T=8)"
    assert verdict.reason == (
        f"both comparisons, among them {against}: one seed: no interval; the difference points the other way"
    )


def test_no_verdict_before_the_last_seed_unless_it_is_against_the_claim() -> None:
    rows = _rows({"a": 1.0, "b": 2.0, "c": 3.0})
    running = [row if (row.row, row.seed) != ("c", 2) else _row("c", 2, {}, "running") for row in rows]
    verdict = _only(_run(running))
    assert verdict.outcome == "pending"
    assert verdict.comparisons[1].difference is not None, "what is known so far is shown"
    assert verdict.reason.startswith("1 of 2 comparisons: seed 2 still to come; so far: ")
    against = [
        row if row.row != "a" else _row("a", row.seed, {("rfid", "classifier@28"): 4.0}) for row in rows
    ]
    settled = [row if (row.row, row.seed) != ("c", 2) else _row("c", 2, {}, "waiting") for row in against]
    assert _only(_run(settled)).outcome == "disagrees"


def test_an_undecided_comparison_is_no_verdict_while_another_is_to_come() -> None:
    rows = _rows({"a": 1.0, "b": 1.0, "c": 3.0})
    running = [row if row.row != "c" else _row("c", row.seed, {}, "running") for row in rows]
    verdict = _only(_run(running))
    assert [item.outcome for item in verdict.comparisons] == ["inconclusive", "pending"]
    assert verdict.outcome == "pending"


def test_missing_rows_are_pending_with_the_reason() -> None:
    levels = {"a": 1.0, "b": 2.0}
    assert "row c is not part of this run" in _only(_run(_rows(levels))).reason
    failed = [*_rows(levels), *(_row("c", seed, {}, "failed") for seed in range(3))]
    assert "row c failed" in _only(_run(failed)).reason
    waiting = [_row(name, 0, {}, "waiting") for name in "abc"]
    assert _only(_run(waiting)).outcome == "pending"
    assert _only(_run(waiting)).extractor == "classifier", "the primary space is listed before any result"
    other = _only(_run([_row(name, 0, {("psnr", ""): 1.0}) for name in "abc"]))
    assert "not measured in this feature space" in other.reason


def test_each_feature_space_has_its_verdict_the_primary_first() -> None:
    first, second = judge(_run(_rows({"a": 1.0, "b": 2.0, "c": 3.0}, extractor="a-net@64")))
    assert (first.extractor, first.primary, first.outcome) == ("classifier", True, "pending")
    assert (second.extractor, second.primary, second.outcome) == ("a-net@64", False, "agrees")


def test_a_metric_of_pixels_has_one_verdict_without_a_feature_space() -> None:
    experiment = _experiment("psnr", lower_is_better=False)
    rows = [
        _row(name, seed, {("psnr", ""): level + 0.01 * seed * level})
        for name, level in {"a": 3.0, "b": 2.0, "c": 1.0}.items()
        for seed in range(3)
    ]
    verdict = _only(_run(rows, experiment))
    assert (verdict.extractor, verdict.primary, verdict.outcome) == ("", True, "agrees")
    assert _only(_run([_row("a", 0, {}, "waiting")], experiment)).extractor == ""


def test_extractors_are_matched_by_name_at_any_resolution() -> None:
    assert is_extractor("classifier", "classifier")
    assert is_extractor("classifier@28", "classifier")
    assert not is_extractor("inception-v3-compat@299", "inception-v3")
    assert not is_extractor("classifier2", "classifier")


def test_cells_answer_at_every_number_of_steps_for_what_has_none() -> None:
    row = _row("a", 0, {("codebook_usage", ""): 0.9}).results[0]
    constant = Cells([row.model_copy(update={"steps": None})])
    assert constant.values("a", 8, "codebook_usage", "") == {0: 0.9}
    assert constant.steps("codebook_usage", "") == []


def test_two_values_for_one_cell_are_an_error() -> None:
    rows = [_row("a", 0, {("rfid", "classifier@28"): value}) for value in (1.0, 2.0)]
    with pytest.raises(ValueError, match=r"t/a, seed 0, T=8, rfid classifier@28\): 1.0 and 2.0"):
        cells(_run(rows))
    assert cells(_run([rows[0], rows[0]])).values("a", 8, "rfid", "classifier@28") == {0: 1.0}
