"""Intervals by resampling images."""

from __future__ import annotations

import pytest
import torch

from sftok.evaluation.bootstrap import NORMAL_95, half_widths
from sftok.metrics.psnr import PSNR


def test_the_interval_of_a_mean_is_that_of_the_central_limit_theorem() -> None:
    values = torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = half_widths([PSNR()], {"psnr": values}, 2000, 0, True)
    assert found["psnr", ""] == pytest.approx(NORMAL_95 * values.std().item() / 20, rel=0.06)


def test_every_row_that_can_be_resampled_has_an_interval_and_its_value_is_the_same(reconstruct) -> None:
    plain, with_intervals = reconstruct(), reconstruct(resamples=20)
    again = reconstruct(resamples=20)
    assert again.rows == with_intervals.rows
    widths = {row["metric"]: row.pop("half_width") for row in with_intervals.rows if "half_width" in row}
    assert with_intervals.rows == plain.rows
    assert {name for name, width in widths.items() if width} == {"rfid", "psnr", "ssim"}
    assert all(width > 0 for width in widths.values() if width is not None)


def test_identical_images_have_no_interval(images, config, extractor, tmp_path) -> None:
    from sftok.evaluation.reconstruction import evaluate
    from sftok.evaluation.subjects.images import SavedImages

    same = SavedImages(images, torch.arange(len(images)))
    rows = evaluate(same, images, config, [extractor], tmp_path, resamples=3).rows
    found = {row["metric"]: row["half_width"] for row in rows}
    assert found["psnr"] == found["ssim"] == 0
    assert found["rfid"] == pytest.approx(0, abs=1e-6)
