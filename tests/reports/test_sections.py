"""Sections: found by scanning, joined by others; analyses, sweeps, settings, costs and curves."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from stored_runs import SPECS, like_table4, line, with_rows

from experiments.paper.table4 import EXPERIMENT
from experiments.records import Run
from experiments.records.verdicts import judge
from experiments.requests import GPU_FLOPS
from experiments.specs import Curve, Experiment
from experiments.specs.own_file import source_of
from experiments.specs.sweep import combinations, swept_experiment
from reports import build, sections
from reports.claims import compared
from reports.sections import contexts, costs, settings, steps, swept, training_curves
from reports.sections.results import measured_metrics

if TYPE_CHECKING:
    from stored_runs import StoreMaker


def by_step(row: str, seed: int) -> list[dict[str, Any]]:
    """Numbers of an evaluation (asked for by a row's name) or of an analysis (by its label)."""
    if not row.startswith("steps of "):
        return like_table4(row, seed)
    found = []
    for step in range(1, 9):
        at = {"step": step, "positions": "all", "temperature": 0.0}
        drift = 0.1 * step * ("vanilla" in row)
        found += [
            line("kl_to_truth", 3.0 + drift + 0.01 * seed * step, **at),
            line("kl_to_final", 0.1 * (8 - step) * (1 + 0.05 * seed), **at),
            line("accuracy", 0.2 - 0.01 * step + 0.001 * seed * step, **at),
            line("agreement_with_final", 0.8 + 0.02 * step + 0.002 * seed * step, **at),
            line("accuracy", 0.1, **(at | {"positions": "masked"})),
        ]
    return found


def by_context(row: str, seed: int) -> list[dict[str, Any]]:
    if not row.startswith("contexts of "):
        return like_table4(row, seed)
    levels = {"single": 3.0, "true": 2.5, "own": 3.2, "second_pass": 3.1}
    single = "single-step" in row or "deeper" in row
    found = []
    for share in (0.25, 0.5, 0.75):
        for context, level in {"single": 2.9}.items() if single else levels.items():
            at = {"context": context, "visible": share}
            found += [
                line("cross_entropy", level + 0.01 * seed * level, **at),
                line("accuracy", level / 10, **at),
            ]
        if not single:
            found.append(line("information_gain", 0.5 + 0.01 * seed, visible=share))
            found.append(line("exposure_gap", 0.7 + 0.02 * seed, visible=share))
    return found


@pytest.fixture
def steps_run(maker: StoreMaker) -> Run:
    return maker.run(SPECS["figure4a"], measure=by_step)


@pytest.fixture
def contexts_run(maker: StoreMaker) -> Run:
    return maker.run(SPECS["appendix_c"], measure=by_context)


def test_sections_are_found_in_order_and_named_after_their_files() -> None:
    found = sections.ordered()
    assert [each.ORDER for each in found] == sorted({each.ORDER for each in found}), "no two share an order"
    assert [sections.anchor(each) for each in found][:3] == ["failures", "claims", "galleries"]


OWN_FILE = """
from markupsafe import Markup

class Own:
    ORDER, TITLE = 15, "Our own"
    applies = staticmethod(lambda run: run.experiment.name == "table4")
    render = staticmethod(lambda run: Markup("<h2>Of {}</h2>").format("<us>"))

SECTIONS = (Own(),)
"""


def test_a_section_of_a_users_own_file_joins_the_page(
    maker: StoreMaker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "file_with_a_section.py"
    path.write_text(OWN_FILE)
    plain = maker.run(seeds=(0,))
    run = replace(plain, request=plain.request.model_copy(update={"source": source_of(path)}))
    run.request.save(maker.store.root)
    path.unlink()  # the copy in the store is enough
    page = (build(maker.store.root, [run]).parent / "table4.html").read_text()
    assert '<section id="Own">\n<h2>Of &lt;us&gt;</h2>' in page
    assert page.index("#Own") < page.index("#claims")
    del sys.modules["file_with_a_section"]
    for copy in (maker.store.root / "requests").glob("*.py"):
        copy.unlink()
    assert "Our own" not in (build(maker.store.root, [run]).parent / "table4.html").read_text()
    assert "the page lacks its own sections" in caplog.text


def test_a_chart_for_each_quantity_with_a_line_for_each_row(steps_run: Run) -> None:
    found = steps.drawn(steps_run, "all")
    assert [each.title for each in found] == [
        "Top-1 accuracy ↑",
        "Agreement with the final prediction ↑",
        "KL from the final prediction (nats) ↓",
        "KL from the truth (nats) ↓",
    ]
    assert len(found[0].legend) == 3
    assert "Vanilla: 3.11 at 1, 3.88 at 8" in found[3].alternative
    assert [each.title for each in steps.drawn(steps_run, "masked")] == ["Top-1 accuracy ↑"]


def test_analyses_have_their_sections_and_no_column_among_the_metrics(
    steps_run: Run, contexts_run: Run, report: Callable[..., str]
) -> None:
    assert measured_metrics(steps_run) == ["rfid", "is"]
    page = report(steps_run, contexts_run, name="figure4a.html")
    assert 'id="steps"' in page
    assert "Only the positions that a step still predicts" in page
    assert "<strong>Top-1 accuracy ↑ · positions masked</strong>" in page
    other = report(steps_run, contexts_run, name="appendix_c.html")
    assert "Cross-entropy (nats per code) ↓ · context own" in other
    assert "25% visible" in other
    assert [each.title for each in contexts.drawn(contexts_run)] == [
        "Exposure gap (nats) ↓",
        "Information gain (nats) ↑",
    ]
    assert [label for _, label in contexts.drawn(contexts_run)[0].legend] == ["Vanilla", "SFVR + warm-up"]


def test_analyses_have_no_section_before_any_number(maker: StoreMaker) -> None:
    for name, section in (("figure4a", steps), ("appendix_c", contexts)):
        assert not section.applies(maker.run(SPECS[name], progress="waiting"))


def test_claims_about_steps_are_judged_over_seeds(steps_run: Run) -> None:
    outcomes = {verdict.claim.name: verdict.outcome for verdict in judge(steps_run)}
    assert outcomes["final-prediction-is-not-the-truth"] == "agrees"
    assert outcomes["steps-approach-the-final-prediction"] == "agrees"
    assert outcomes["accuracy-rises-with-steps"] == "disagrees"
    verdicts = {verdict.claim.name: verdict for verdict in judge(steps_run)}
    item = compared(steps_run, verdicts["accuracy-rises-with-steps"])[0]
    assert (item.left, item.right, item.at) == ("Vanilla, step 8", "Vanilla, step 1", "all positions")


def test_a_claim_compares_contexts_of_one_row(contexts_run: Run) -> None:
    verdicts = {verdict.claim.name: verdict for verdict in judge(contexts_run)}
    found = verdicts["lower-loss-given-predictions"].comparisons[0].difference
    assert found is not None
    assert (found.n, found.mean) == (3, pytest.approx(0.2 * 1.01))
    assert verdicts["lower-loss-given-predictions"].outcome == "disagrees"
    assert verdicts["own-context-is-worse-than-the-truth"].outcome == "agrees"
    gap = compared(contexts_run, verdicts["sfvr-closes-the-exposure-gap"])[0]
    assert (gap.left, gap.right, gap.at) == ("SFVR + warm-up", "Vanilla", "25% visible")


def sweep(**values: list[Any]) -> Experiment:
    grids = [(key.replace("__", "."), value) for key, value in values.items()]
    return swept_experiment(EXPERIMENT, combinations(grids, []))


def test_one_swept_number_has_curves_by_steps(maker: StoreMaker) -> None:
    run = maker.run(sweep(stage2__replacement_ratio=[1, 0, 0.5]))
    first = swept.drawn(run)[0]
    assert [label for _, label in first.legend] == ["T=1", "T=2", "T=4", "T=8", "T=16"]
    assert "over replacement_ratio. T=1: " in first.alternative
    assert " at 0, " in first.alternative
    assert " at 1; " in first.alternative
    assert not swept.applies(maker.run(seeds=(0,)))


def test_words_and_several_swept_keys_have_a_table(maker: StoreMaker) -> None:
    words = swept.table(maker.run(sweep(stage2__mask_schedule=["arccos", "sqrt"])))
    assert [each.label for each in words.groups[0].lines] == ["arccos", "sqrt"]
    two = swept.table(maker.run(sweep(stage1__steps=[1, 2], stage2__replacement_ratio=[0, 1])))
    assert [column.name for column in two.columns[:3]] == ["steps", "replacement_ratio", "IS ↑"]
    found = [(each.label, each.cells[0].text) for each in two.groups[0].lines]
    assert found == [("1", "0"), ("1", "1"), ("2", "0"), ("2", "1")]
    assert all(cell.text for each in two.groups[0].lines for cell in each.cells)


@pytest.mark.parametrize("progress", ["waiting", "partial", "complete"])
def test_the_page_of_a_sweep_is_there_before_any_number(
    maker: StoreMaker, report: Callable[..., str], progress: Any
) -> None:
    rates = sweep(stage2__training__optimizer__learning_rate=[1e-4, 1e-3, 1e-2])
    page = report(maker.run(rates, seeds=(0,), progress=progress), name=f"{rates.name}.html")
    assert "Over learning_rate" in page
    assert ("No number yet" in page[: page.index('id="results"')]) == (progress == "waiting")


def test_settings_stand_beside_the_profiles_own(maker: StoreMaker, report: Callable[..., str]) -> None:
    setting = {"category": "Model", "parameter": "Token Size", "published": ["32", "32", "–"], "note": "why"}
    lines = (
        {**setting, "here": ["16", "16", "–"], "agrees": False},
        {**setting, "here": ["32", "32", "–"], "agrees": None},
    )
    experiment = SPECS["table6"]
    run = maker.run(experiment, seeds=(0,), settings=lines, artifacts=(), rows=(), reference=None)
    html = settings.render(run)
    assert "Token Size" in html
    assert "≠ different" in html
    page = report(run, name="table6.html")
    assert 'id="settings"' in page
    assert "Published against ours" not in page


def test_costs_are_means_over_seeds(maker: StoreMaker, report: Callable[..., str]) -> None:
    size = {"flops_per_image": 1e9, "paper_images": 36e6, "paper_flops_per_image": GPU_FLOPS / 1e4}
    run = maker.run(with_rows(EXPERIMENT, costs=True), seeds=(0, 1), costs={"ratio-1.0": {"alignment": size}})
    (found,) = costs.table(run).groups[0].lines
    assert found.label == "SFTok-B, ratio 1.0"
    assert [cell.text for cell in found.cells] == [
        *("alignment", "2", "128,000", "6 min 48 s", "313", "1.7 GB", "313", "1", "about 4.4 d"),
    ]
    assert "33 TFLOP/s" in costs.table(run).caption
    page = report(run)
    assert "Hours, total" in page
    assert 'id="curves"' not in page
    assert 'id="reconstructions"' not in page


def test_the_curves_of_a_figure_have_a_section(maker: StoreMaker, report: Callable[..., str]) -> None:
    curve = Curve(title="Figure 4b: loss", stages=("warm-up", "alignment"), quantity="reconstruction_loss")
    run = maker.run(with_rows(EXPERIMENT, curves=(curve,)), seeds=(0,))
    (found,) = training_curves.drawn(run)
    assert (found.title, found.subtitle) == ("Figure 4b: loss", "warm-up and alignment")
    path = (run.rows[0].training[1].folder or maker.store.root) / "metrics.jsonl"
    path.write_bytes(path.read_bytes().replace(b'{"step": 20,', b'!"step": 20,'))
    page = report(maker.load(run.request))
    assert 'id="training-curves"' in page
    assert f"{path}: line 2 is damaged" in page
