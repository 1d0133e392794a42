"""Analyses on a page: lines by step, tables by context, and claims that compare two quantities of one row."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from experiments.records.results import ResultRow, TableRun
from experiments.records.verdicts import cells, judge
from experiments.registry import discover
from reports.analyses import analysis_views
from reports.claims import claim_views
from reports.export import result_rows, to_csv
from reports.tables import flat_table, measured_columns

if TYPE_CHECKING:
    from conftest import FakeStore

SPECS = discover(("experiments.paper", "ablations"))


def with_numbers(
    run: TableRun, numbers: Callable[[str, int], dict[tuple[str, int | None], float]]
) -> TableRun:
    """The run with further results: by row and seed, values of `(metric, steps)`."""
    rows = []
    for row in run.rows:
        more = tuple(
            ResultRow(
                table=run.experiment.name,
                row=row.row,
                seed=row.seed,
                profile=run.profile,
                steps=steps,
                temperature=None,
                metric=metric,
                extractor="",
                value=value,
                n_images=100,
                artifact="a",
            )
            for (metric, steps), value in numbers(row.row, row.seed).items()
        )
        rows.append(row.model_copy(update={"results": (*row.results, *more)}))
    return run.model_copy(update={"rows": tuple(rows)})


def by_step(row: str, seed: int) -> dict[tuple[str, int | None], float]:
    found: dict[tuple[str, int | None], float] = {}
    for step in range(1, 9):
        found["step_kl_to_truth", step] = 3.0 + 0.1 * step * (row == "vanilla") + 0.01 * seed * step
        found["step_kl_to_final", step] = 0.1 * (8 - step) * (1 + 0.05 * seed)
        found["step_accuracy", step] = 0.2 - 0.01 * step + 0.001 * seed * step
        found["step_agreement_with_final", step] = 0.8 + 0.02 * step + 0.002 * seed * step
        found["step_masked_accuracy", step] = 0.1
    return found


def by_context(row: str, seed: int) -> dict[tuple[str, int | None], float]:
    contexts = {"single": 3.0, "true": 2.5, "own": 3.2, "second_pass": 3.1}
    if row in ("single-step", "deeper-decoder"):
        contexts = {"single": 2.9}
    found: dict[tuple[str, int | None], float] = {}
    for percent in (25, 50, 75):
        for context, value in contexts.items():
            found[f"ce_{context}_visible_{percent}", None] = value + 0.01 * seed * value
            found[f"accuracy_{context}_visible_{percent}", None] = value / 10
            found[f"bound_{context}_visible_{percent}", None] = value / 9
        if len(contexts) > 1:
            found[f"information_gain_visible_{percent}", None] = 0.5 + 0.01 * seed
            found[f"computation_gain_visible_{percent}", None] = -0.2 - 0.01 * seed
            found[f"exposure_gap_visible_{percent}", None] = 0.7 + 0.02 * seed
    return found


@pytest.fixture
def steps_run(fake_store: FakeStore) -> TableRun:
    return with_numbers(fake_store.run(SPECS["figure4a"]), by_step)


@pytest.fixture
def contexts_run(fake_store: FakeStore) -> TableRun:
    return with_numbers(fake_store.run(SPECS["appendix_c"]), by_context)


def test_a_chart_a_quantity_with_a_line_a_row(steps_run: TableRun) -> None:
    (view,) = analysis_views(steps_run, cells(steps_run))
    assert [chart.title for chart in view.charts] == [
        "KL from the truth (nats) ↓",
        "KL from the final prediction (nats) ↓",
        "Top-1 accuracy ↑",
        "Top-1 agreement with the final prediction ↑",
    ]
    panel = view.charts[0].panel
    assert panel.even_ticks == tuple(range(1, 9))
    assert len(panel.series) == len(view.legend) == 3
    assert panel.series[0].y[7] == pytest.approx(3.0 + 0.8 + 0.08)
    assert panel.series[0].band[7] is not None


def test_tables_by_context_have_a_mean_and_an_interval(contexts_run: TableRun) -> None:
    (view,) = analysis_views(contexts_run, cells(contexts_run))
    values, gaps = view.grids
    assert values.columns == ("25 %", "50 %", "75 %") * 3
    groups = {group.label: dict(group.lines) for group in values.groups}
    assert list(groups["Vanilla"]) == ["no context", "true codes", "own codes", "second pass"]
    assert list(groups["Single step"]) == ["no context"]
    assert groups["Vanilla"]["no context"][0].startswith("3.03 ± 0.0")
    assert [group.label for group in gaps.groups] == ["Vanilla", "SFVR + warm-up"]
    assert [label for _, label in view.legend] == ["Vanilla", "SFVR + warm-up"]


def test_no_view_before_any_number(fake_store: FakeStore) -> None:
    for name in ("figure4a", "appendix_c"):
        run = fake_store.run(SPECS[name], progress="waiting")
        assert analysis_views(run, cells(run)) == []


def test_quantities_have_no_column_among_the_metrics(steps_run: TableRun, contexts_run: TableRun) -> None:
    for run in (steps_run, contexts_run):
        measured = cells(run)
        assert {column.metric.name for column in measured_columns(run, measured)} == {"rfid", "is"}
        assert flat_table(run, measured).steps == (1, 2, 4, 8, 16)


def test_claims_are_judged_over_seeds(steps_run: TableRun) -> None:
    outcomes = {verdict.claim.name: verdict.outcome for verdict in judge(steps_run)}
    assert outcomes["final-prediction-is-not-the-truth"] == "agrees"
    assert outcomes["first-step-is-close-to-the-final-prediction"] == "agrees"
    assert outcomes["steps-approach-the-final-prediction"] == "agrees"
    assert outcomes["accuracy-rises-with-steps"] == "disagrees"
    assert outcomes["discrepancy-is-amplified"] == "agrees"


def test_a_claim_compares_contexts_of_one_row(contexts_run: TableRun) -> None:
    verdicts = {verdict.claim.name: verdict for verdict in judge(contexts_run)}
    found = verdicts["lower-loss-given-predictions"].comparisons[0].difference
    assert found is not None
    assert found.n == 3
    assert found.mean == pytest.approx(0.2 * 1.01)
    assert verdicts["lower-loss-given-predictions"].outcome == "disagrees"
    assert verdicts["own-context-is-worse-than-the-truth"].outcome == "agrees"
    views = {view.claim.name: view for view in claim_views(contexts_run, tuple(verdicts.values()))}
    line = views["lower-loss-given-predictions"].headline.comparisons[0]
    assert (line.better, line.worse) == (
        "SFVR + warm-up, own codes (25 %)",
        "SFVR + warm-up, no context (25 %)",
    )
    gap = views["sfvr-closes-the-exposure-gap"].headline.comparisons[0]
    assert (gap.better, gap.worse, gap.at) == ("SFVR + warm-up", "Vanilla", "25 % visible")


def test_step_claims_say_step_and_not_t(steps_run: TableRun) -> None:
    views = {view.claim.name: view for view in claim_views(steps_run, judge(steps_run))}
    line = views["accuracy-rises-with-steps"].headline.comparisons[0]
    assert (line.better, line.worse) == ("Vanilla, step 8", "Vanilla, step 1")


def test_the_page_and_the_csv_have_the_numbers(
    steps_run: TableRun, contexts_run: TableRun, report: Callable[..., str]
) -> None:
    page = report(steps_run, contexts_run, name="figure4a.html")
    assert 'id="steps"' in page
    assert "Only the positions that a step still predicts" in page
    other = report(steps_run, contexts_run, name="appendix_c.html")
    assert "Exposure gap: own codes minus true codes" in other
    assert ",step_kl_to_truth," in to_csv(result_rows(steps_run))
