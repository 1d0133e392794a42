"""Distortions are what their names say, and each strength contains the weaker ones."""

from __future__ import annotations

import pytest
import small_models
import torch
from small_models import seeded

from sftok.calibration.distortions import DISTORTIONS, Source, blurred, matching_blur
from sftok.calibration.report import LABELS
from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.quantizers.base import squared_distances

CODES = ["random_codes", "nearest_codes", "same_class", "other_class"]


class Recording(MaskGITVQGAN):
    """A teacher that remembers what it decoded."""

    decoded: torch.Tensor

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        self.decoded = codes
        return super().decode(codes)


@pytest.fixture
def source() -> Source:
    teacher = Recording.from_config(small_models.TEACHER)
    own, same, other = torch.randint(24, (3, 6, 16), generator=seeded())
    coarse = torch.rand(6, 3, 4, 4, generator=seeded(1))
    images = torch.nn.functional.interpolate(coarse, (16, 16), mode="bilinear")
    return Source(teacher, images, own, same, other)


def wrong(source: Source, name: str, strength: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Where codes were replaced or may have been (by the same one), and what was decoded."""
    with torch.no_grad():
        DISTORTIONS[name].apply(source, strength, seeded(3))
    return source.teacher.decoded != source.codes, source.teacher.decoded


def test_every_distortion_has_a_label_and_growing_strengths():
    assert LABELS.keys() == DISTORTIONS.keys()
    for distortion in DISTORTIONS.values():
        assert list(distortion.strengths) == sorted({*distortion.strengths} - {0.0})


@pytest.mark.parametrize("name", CODES)
def test_codes_that_are_wrong_at_one_strength_are_wrong_at_all_higher_ones(source, name):
    few, few_codes = wrong(source, name, 0.25)
    many, many_codes = wrong(source, name, 0.5)
    assert (many | ~few).all()
    assert (few_codes[few] == many_codes[few]).all()
    none, _ = wrong(source, name, 0.0)
    assert not none.any()


@pytest.mark.parametrize("name", ["random_codes", "nearest_codes"])
def test_every_image_has_the_same_number_of_wrong_codes(source, name):
    replaced, _ = wrong(source, name, 0.25)
    assert (replaced.sum(1) == 4).all()


def test_wrong_codes_come_from_where_their_name_says(source):
    everything = 1.0
    assert torch.equal(wrong(source, "same_class", everything)[1], source.same_class)
    assert torch.equal(wrong(source, "other_class", everything)[1], source.other_class)
    codebook = source.teacher.pixel_decoder.codebook
    distances = squared_distances(codebook, codebook).fill_diagonal_(torch.inf)
    nearest = wrong(source, "nearest_codes", everything)[1]
    assert torch.equal(nearest, distances.argmin(1)[source.codes])
    assert wrong(source, "random_codes", everything)[0].all()


@pytest.mark.parametrize("name", sorted(DISTORTIONS.keys() - {*CODES}))
def test_stronger_distortions_of_pixels_are_farther_from_the_image(source, name):
    distortion = DISTORTIONS[name]
    errors = [
        (distortion.apply(source, strength, seeded(3)) - source.images).square().mean().item()
        for strength in distortion.strengths
    ]
    assert errors[0] > 0
    assert errors == sorted(errors)


def test_blur_of_no_width_changes_nothing_and_keeps_the_mean_of_a_flat_image(source):
    torch.testing.assert_close(blurred(source.images, 1e-4), source.images)
    flat = torch.full((1, 3, 16, 16), 0.3)
    torch.testing.assert_close(blurred(flat, 0.1), flat)


def test_the_matching_blur_changes_images_by_the_squared_error(source):
    error = 1e-3
    found = (blurred(source.images, matching_blur(source.images, error)) - source.images).square().mean()
    assert found.item() == pytest.approx(error, rel=0.05)
    assert matching_blur(source.images, 10.0) is None


def test_a_shift_moves_whole_pixels_and_repeats_the_border(source):
    shifted = DISTORTIONS["shift"].apply(source, 1 / 16, seeded(3))
    moves = [(0, 1), (0, -1), (1, 0), (-1, 0)]
    for image, original in zip(shifted, source.images, strict=True):
        inner = [torch.equal(image[:, 1:-1, 1:-1], original.roll(m, (1, 2))[:, 1:-1, 1:-1]) for m in moves]
        assert sum(inner) == 1
