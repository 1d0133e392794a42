"""Claims as they are shown: sides, differences, intervals, the paper's own difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.paper.table4 import EXPERIMENT
from experiments.records.verdicts import judge
from experiments.spec import Comparison, Point
from reports.claims import ClaimView, claim_views

if TYPE_CHECKING:
    from conftest import FakeStore


def _view(store: FakeStore, seeds: tuple[int, ...] = (0, 1, 2), *comparisons: Comparison) -> ClaimView:
    claim = EXPERIMENT.claims[0]
    if comparisons:
        claim = claim.model_copy(update={"comparisons": comparisons})
    run = store.run(EXPERIMENT.model_copy(update={"claims": (claim,)}), seeds=seeds)
    return claim_views(run, judge(run))[0]


def test_a_comparison_shows_sides_difference_and_interval(fake_store: FakeStore) -> None:
    view = _view(fake_store)
    first, second = view.headline.comparisons
    assert (first.better, first.worse, first.at) == ("SFTok-B, ratio 1.0", "SFTok-B, ratio 0.8", "T=8")
    assert (first.published, second.published) == ("−0.26", "−0.37")
    assert first.difference.startswith("−0.")
    assert first.interval.startswith("[−0.")
    assert first.seeds == 3
    assert view.headline.found == "; ".join(f"{item.difference} {item.interval}" for item in (first, second))


def test_plots_of_a_verdict_share_one_scale(fake_store: FakeStore) -> None:
    plots = [item.plot for item in _view(fake_store).headline.comparisons]
    ends = [end for plot in plots if plot for end in (plot.low, plot.high) if end is not None]
    assert len(ends) == 4
    assert max(map(abs, ends)) == 1.0
    assert all(plot and plot.claimed_side == -1 and plot.mean < 0 for plot in plots)


def test_steps_are_named_on_each_side_if_they_differ(fake_store: FakeStore) -> None:
    row = EXPERIMENT.rows[2].name
    steps = Comparison(better=Point(row=row, steps=8), worse=Point(row=row, steps=1))
    (found,) = _view(fake_store, (0, 1, 2), steps).headline.comparisons
    assert (found.better, found.worse, found.at) == ("SFTok-B, ratio 1.0, T=8", "SFTok-B, ratio 1.0, T=1", "")
    assert found.published == "", "the paper's values hold at eight steps"


def test_one_seed_has_a_point_and_no_interval(fake_store: FakeStore) -> None:
    found = _view(fake_store, (0,)).headline.comparisons[0]
    assert found.interval == ""
    assert found.plot is not None
    assert (found.plot.low, found.plot.high) == (None, None)
    assert abs(found.plot.mean) <= 1
