"""A sweep's page: curves over one swept number, a table for anything else."""

from __future__ import annotations

from typing import Any

from experiments.paper.table4 import EXPERIMENT
from experiments.records.verdicts import cells
from experiments.spec import Experiment
from experiments.sweeps import combinations, swept_experiment
from reports.pages import write_report
from reports.sweeps import SweepView, sweep_view


def swept(**values: list[Any]) -> Experiment:
    grids = [(key.replace("__", "."), value) for key, value in values.items()]
    return swept_experiment(EXPERIMENT, combinations(grids, []))


def view_of(store: Any, experiment: Experiment, **options: Any) -> SweepView:
    run = store.run(experiment, **options)
    view = sweep_view(run, cells(run))
    assert view is not None
    return view


def test_a_table_is_no_sweep(fake_store: Any) -> None:
    run = fake_store.run()
    assert sweep_view(run, cells(run)) is None


def test_one_number_has_curves_by_steps(fake_store: Any) -> None:
    view = view_of(fake_store, swept(stage2__replacement_ratio=[1, 0, 0.5]))
    assert view.legend == ("T=1", "T=2", "T=4", "T=8", "T=16")
    assert not view.lines
    panel = view.charts[0].panel
    assert [series.x for series in panel.series] == [(0.0, 0.5, 1.0)] * 5
    assert panel.x_label == "replacement_ratio"
    assert not panel.log_x


def test_values_of_many_sizes_stand_on_a_logarithmic_axis(fake_store: Any) -> None:
    rates = swept(stage2__training__optimisation__learning_rate=[1e-4, 1e-3, 1e-2])
    assert view_of(fake_store, rates).charts[0].panel.log_x


def test_words_and_several_keys_have_a_table(fake_store: Any) -> None:
    words = view_of(fake_store, swept(stage2__mask_schedule=["arccos", "sqrt"]))
    assert not words.charts
    assert [line.values for line in words.lines] == [("arccos",), ("sqrt",)]
    two = view_of(fake_store, swept(stage1__steps=[1, 2], stage2__replacement_ratio=[0, 1]))
    assert two.names == ("steps", "replacement_ratio")
    assert [line.values for line in two.lines] == [("1", "0"), ("1", "1"), ("2", "0"), ("2", "1")]
    assert all(len(line.measured) == len(two.columns) > 0 for line in two.lines)
    assert all(all(line.measured) for line in two.lines)


def test_the_page_is_there_before_any_number(fake_store: Any) -> None:
    experiment = swept(stage2__replacement_ratio=[0, 1])
    for progress in ("waiting", "partial", "complete"):
        run = fake_store.run(experiment, progress=progress)
        index = write_report(fake_store.root / "report", [run])
        page = (index.parent / f"{experiment.name}.html").read_text()
        assert "Over replacement_ratio" in page
        assert experiment.name in index.read_text()
