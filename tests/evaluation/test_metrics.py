from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from sftok.evaluation.metrics import PSNR, SSIM, CodeAccuracy, CodebookUsage, Reconstructions, luma

VOCABULARY = 9


def reconstructions(count: int = 13, seed: int = 0) -> Reconstructions:
    generator = torch.Generator().manual_seed(seed)
    originals = torch.rand(count, 3, 14, 17, generator=generator)
    noise = 0.2 * torch.randn(originals.shape, generator=generator)
    return Reconstructions(
        originals=originals,
        images=(originals + noise).clamp(0, 1),
        codes=torch.randint(VOCABULARY, (count, 6), generator=generator),
        teacher_codes=torch.randint(VOCABULARY, (count, 6), generator=generator),
    )


def part(whole: Reconstructions, indices: list[int]) -> Reconstructions:
    return Reconstructions(
        originals=whole.originals[indices],
        images=whole.images[indices],
        codes=whole.codes[indices],
        teacher_codes=whole.teacher_codes[indices],
    )


WHOLE = reconstructions()
METRICS = {
    "psnr": (PSNR, lambda batch: batch),
    "ssim": (SSIM, lambda batch: batch),
    "accuracy": (CodeAccuracy, lambda batch: batch),
    "usage": (lambda: CodebookUsage(VOCABULARY), lambda batch: batch.codes),
}


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(13)), cuts=st.sets(st.integers(1, 12)), merged=st.booleans())
def test_any_split_and_order_agree(name, order, cuts, merged):
    make, read = METRICS[name]
    expected = make()
    expected.update(read(WHOLE))
    found = make()
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 13], strict=True):
        batch = read(part(WHOLE, order[start:stop]))
        if merged:
            other = make()
            other.update(batch)
            found.merge(other)
        else:
            found.update(batch)
    assert found.compute() == pytest.approx(expected.compute(), rel=1e-6)


@pytest.mark.parametrize("name", METRICS)
def test_nothing_seen_is_an_error_and_compute_changes_nothing(name):
    make, read = METRICS[name]
    metric = make()
    with pytest.raises(ValueError, match="nothing was seen"):
        metric.compute()
    metric.update(read(WHOLE))
    before = copy.deepcopy(metric.compute())
    assert metric.compute() == before


def test_psnr_is_the_mean_of_the_images_own():
    expected = torch.stack(
        [
            peak_signal_noise_ratio(luma(WHOLE.images[[i]]), luma(WHOLE.originals[[i]]), data_range=1.0)
            for i in range(13)
        ]
    )
    torch.testing.assert_close(PSNR().per_image(WHOLE), expected)


def test_psnr_of_grey_images_has_its_known_value_and_is_finite_for_identical_ones():
    originals = torch.full((1, 3, 12, 12), 0.5)
    shifted = Reconstructions(
        originals=originals, images=originals + 0.1, codes=WHOLE.codes, teacher_codes=WHOLE.teacher_codes
    )
    assert PSNR().per_image(shifted).item() == pytest.approx(20.0, abs=1e-4)
    same = Reconstructions(
        originals=originals, images=originals, codes=WHOLE.codes, teacher_codes=WHOLE.teacher_codes
    )
    assert PSNR().per_image(same).item() == pytest.approx(100.0)
    assert SSIM().per_image(same).item() == pytest.approx(1.0)


def test_ssim_is_torchmetrics_without_its_reflected_borders():
    _, maps = structural_similarity_index_measure(
        luma(WHOLE.images)[:, None].double(),
        luma(WHOLE.originals)[:, None].double(),
        data_range=1.0,
        reduction="none",
        return_full_image=True,
    )
    expected = maps[..., 5:-5, 5:-5].mean(dim=(1, 2, 3))
    torch.testing.assert_close(SSIM().per_image(WHOLE), expected, atol=1e-7, rtol=0)


def test_ssim_refuses_images_smaller_than_its_window():
    small = torch.rand(2, 3, 10, 14)
    batch = Reconstructions(
        originals=small, images=small, codes=WHOLE.codes, teacher_codes=WHOLE.teacher_codes
    )
    with pytest.raises(ValueError, match="11 pixels"):
        SSIM().update(batch)


def test_code_accuracy_counts_matches():
    codes = torch.arange(6).repeat(2, 1)
    teacher = codes.clone()
    teacher[0, :3] = 8
    metric = CodeAccuracy()
    metric.update(
        Reconstructions(originals=WHOLE.originals, images=WHOLE.images, codes=codes, teacher_codes=teacher)
    )
    assert metric.compute() == {"code_accuracy": 0.75}


def test_codebook_usage_of_known_counts():
    metric = CodebookUsage(8)
    metric.update(torch.tensor([[0, 1], [2, 3]]))
    found = metric.compute()
    assert found == pytest.approx(
        {"codebook_usage": 0.5, "codebook_entropy": 2.0, "codebook_perplexity": 4.0}
    )
    metric.update(torch.full((1000, 100), 5))
    assert metric.compute()["codebook_entropy"] < 0.01
    assert not math.isnan(metric.compute()["codebook_perplexity"])
