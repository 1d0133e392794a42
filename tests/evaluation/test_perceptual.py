from __future__ import annotations

import lpips
import pytest
import torch

from sftok.evaluation.config import EvaluationError
from sftok.evaluation.metrics import Reconstructions
from sftok.evaluation.perceptual import LPIPS


def batch(side: int) -> Reconstructions:
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    codes = torch.zeros(2, 4, dtype=torch.int64)
    return Reconstructions(originals=images, images=images.flip(3), codes=codes, teacher_codes=codes)


@pytest.fixture
def metric() -> LPIPS:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LPIPS(
            lpips.LPIPS(net="alex", pretrained=False, pnet_rand=True, verbose=False)
            .eval()
            .requires_grad_(False)
        )


def test_it_is_the_mean_of_the_networks_distances_of_images_in_0_to_1(metric: LPIPS) -> None:
    given = batch(40)
    metric.update(given)
    by_hand = metric.network(2 * given.images - 1, 2 * given.originals - 1).mean()
    assert metric.compute()["lpips"] == pytest.approx(float(by_hand), rel=1e-6)


def test_identical_images_are_at_no_distance(metric: LPIPS) -> None:
    same = batch(40)
    same = Reconstructions(
        originals=same.images, images=same.images, codes=same.codes, teacher_codes=same.teacher_codes
    )
    assert metric.per_image(same).tolist() == [0.0, 0.0]


def test_images_too_small_for_the_network_are_refused(metric: LPIPS) -> None:
    with pytest.raises(EvaluationError, match="32 pixels"):
        metric.update(batch(28))
