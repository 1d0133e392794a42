"""Curves: what is read of a growing file, how stages join, what a chart says in words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.records.results import ArtifactState
from experiments.records.verdicts import cells
from reports import curves
from reports.curves import loss_charts, loss_curve, metric_charts, read_losses, smoothed

if TYPE_CHECKING:
    from conftest import FakeStore


def _stage(folder: Path, text: str, status: str = "done") -> ArtifactState:
    folder.mkdir()
    (folder / "metrics.jsonl").write_text(text, encoding="utf-8")
    return ArtifactState(kind="stage", key=folder.name, label=folder.name, status=status, folder=folder)


def test_a_torn_last_line_and_other_records_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        '{"step": 1, "loss": 4}\n{"step": 2, "lr": 1}\n[3]\n{"step": 3, "loss": 3.5}\n{"step": 4, "lo'
    )
    assert read_losses(path) == [(1.0, 4.0), (3.0, 3.5)]
    assert read_losses(tmp_path / "nothing.jsonl") == []


def test_steps_logged_again_after_a_resume_count_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 4}\n{"step": 2, "loss": 9}\n{"step": 2, "loss": 3}\n')
    assert read_losses(path) == [(1.0, 4.0), (2.0, 3.0)]


def test_a_long_file_is_read_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "MAX_LINES", 10)
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(f'{{"step": {step}, "loss": 1.0}}\n' for step in range(100)))
    assert len(read_losses(path)) == 10


def test_stages_continue_where_the_one_before_ended(tmp_path: Path) -> None:
    first = _stage(tmp_path / "a", '{"step": 10, "loss": 5}\n{"step": 20, "loss": 4}\n')
    for status, begin, ends in (("running", 10, (20.0,)), ("done", 50, (20.0, 90.0))):
        lines = f'{{"step": {begin}, "loss": 3}}\n{{"step": 70, "loss": 2}}\n'
        curve = loss_curve((first, _stage(tmp_path / status, lines, status)), index=2)
        assert curve is not None
        assert curve.x == (10.0, 20.0, 20.0 + begin, 90.0)
        assert curve.y == (5.0, 4.0, 3.0, 2.0)
        assert curve.stage_ends == ends
    waiting = ArtifactState(kind="stage", key="d", label="d", status="waiting")
    assert loss_curve((waiting,), index=0) is None


def test_smoothing_takes_the_mean_of_each_bin() -> None:
    points = [(0.0, 1.0), (1.0, 3.0), (1.5, math.inf), (2.0, 8.0)]
    assert smoothed(points, max_points=2) == [(0.5, 2.0), (2.0, 8.0)]


@given(st.lists(st.floats(-10, 10) | st.just(math.nan), max_size=300))
@settings(deadline=None)
def test_smoothing_stays_within_the_losses_and_few_points(losses: list[float]) -> None:
    points = [(float(step), loss) for step, loss in enumerate(losses)]
    smooth = smoothed(points, max_points=20)
    finite = [loss for loss in losses if math.isfinite(loss)]
    assert len(smooth) <= 20
    assert bool(smooth) == bool(finite)
    if finite:
        assert min(finite) - 1e-9 <= min(loss for _, loss in smooth)
        assert max(loss for _, loss in smooth) <= max(finite) + 1e-9
        assert [step for step, _ in smooth] == sorted(step for step, _ in smooth)


def test_a_run_has_its_charts_with_words(fake_store: FakeStore) -> None:
    run = fake_store.run()
    headline, further = metric_charts(run, cells(run))
    assert [(chart.title, chart.subtitle) for chart in headline] == [
        ("rFID ↓", "classifier@28"),
        ("rFID ↓", "efficientnet-lite0@64"),
        ("IS ↑", "classifier@28"),
    ]
    assert [chart.title for chart in further] == ["PSNR (dB) ↑", "SSIM ↑", "Code accuracy ↑"]
    assert headline[0].panel.ticks == (1, 2, 4, 8, 16)
    assert "SFTok-B, ratio 0.5: 2." in headline[0].alternative
    assert "at T=1" in headline[0].alternative
    assert "Teacher's own reconstruction: 1.12" in headline[0].alternative
    assert [item.name for item in headline[2].panel.references] == ["teacher", "real"]


def test_losses_of_every_row_and_seed(fake_store: FakeStore) -> None:
    whole, closer = loss_charts(fake_store.run())
    assert len(whole.panel.series) == 9
    assert whole.panel.series[0].x[-1] == pytest.approx(2500, abs=30)
    assert closer.panel.x_from == pytest.approx(1250, abs=30)
    assert all(x >= closer.panel.x_from for series in closer.panel.series for x in series.x)
    assert loss_charts(fake_store.run(progress="waiting")) == []
