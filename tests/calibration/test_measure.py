"""A calibration of small spaces: what its numbers are, that they repeat, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import small_models
import torch
from small_models import draw, seeded
from torch import Tensor

from sftok.calibration import measure
from sftok.calibration.distortions import DISTORTIONS, MIXED, WRONG
from sftok.calibration.measure import Calibration, calibrate
from sftok.calibration.report import CalibrationConfig
from sftok.data.base import MemoryImageSet
from sftok.evaluation.extractors.base import Extractor
from sftok.metrics.base import EvaluationError
from sftok.models.maskgit_vqgan import MaskGITVQGAN

SETS = 1 + 5 * len(DISTORTIONS) + len(MIXED) * len(WRONG)
CONFIG = CalibrationConfig(images=24, draws=2, batch_size=10)


def pixels_as_features(images: Tensor) -> tuple[Tensor, Tensor]:
    features = (images.flatten(1).float() / 255 - 0.5) @ draw(3 * 256, 12) / 20
    return features, features[:, :4]


def extractor(network: Callable[[Tensor], tuple[Tensor, Tensor | None]] = pixels_as_features) -> Extractor:
    return Extractor("pixels", "0" * 64, network, chunk=7, device=torch.device("cpu"))


def images(labels: Tensor) -> MemoryImageSet:
    coarse = torch.rand(len(labels), 3, 5, 5, generator=seeded())
    pixels = (torch.nn.functional.interpolate(coarse, (16, 16), mode="bilinear") * 255).byte()
    return MemoryImageSet("tiny/test", tuple("abcd"), pixels, labels)


@pytest.fixture(scope="module")
def teacher() -> MaskGITVQGAN:
    teacher = MaskGITVQGAN.from_config(small_models.TEACHER)
    teacher.pixel_decoder.codebook.data.mul_(50)
    return teacher


def run(teacher: MaskGITVQGAN, config: CalibrationConfig = CONFIG) -> Calibration:
    def unlike(pixels: Tensor) -> tuple[Tensor, None]:
        return pixels_as_features(pixels)[0].square(), None

    spaces = {"pixels": [extractor(), extractor(unlike)], "squares": [extractor(unlike)]}
    return calibrate(teacher, images(torch.arange(50) % 4), spaces, config)


def test_every_set_has_a_number_for_each_draw_in_each_space(teacher):
    found = run(teacher)
    rfid = [row for row in found.rows if row["metric"] == "rfid"]
    assert len(rfid) == SETS * 2 * 2
    assert {row["n_images"] for row in found.rows} == {12}
    agreement = [row for row in found.rows if row["metric"] == "label_agreement"]
    assert {row["extractor"] for row in agreement} == {"pixels"}, "only one classifies"
    assert all(0 <= row["value"] <= 1 for row in agreement)
    assert [report.space for report in found.reports] == ["pixels", "squares"]
    assert [report.seed_agreement is None for report in found.reports] == [False, True]
    assert list(found.reports[0].right["blur"]) == [2, 6, 12]
    assert {"original", "teacher", *DISTORTIONS, "labels", "class_names"} <= found.examples.keys()


def test_a_seed_fixes_every_number_whatever_the_number_of_threads(teacher):
    before = torch.get_num_threads()
    first = run(teacher)
    try:
        torch.set_num_threads(1 + before % 2)
        second = run(teacher)
    finally:
        torch.set_num_threads(before)
    assert first.rows == second.rows
    assert first.protocol == second.protocol
    other = run(teacher, CONFIG.model_copy(update={"seed": 1}))
    noisy = [row["value"] for row in first.rows if row["distortion"] == "noise"]
    assert noisy != [row["value"] for row in other.rows if row["distortion"] == "noise"]


def test_mixtures_start_blurred_and_end_wrong(teacher):
    found = run(teacher)
    blurred, wrong = (
        [
            row["value"]
            for row in found.rows
            if row["distortion"] == "blurred_to_same_class"
            and row["strength"] == share
            and row["metric"] == "rfid"
            and row["extractor"] == "squares"
        ]
        for share in (0.0, 1.0)
    )
    expected = torch.tensor(wrong).log2() - torch.tensor(blurred).log2()
    side = found.reports[1].wrong_over_blurred["same_class"]
    assert side.mean == pytest.approx(expected.mean().item(), rel=1e-4)


@pytest.mark.parametrize("labels", [torch.zeros(30, dtype=torch.int64), torch.tensor([0] * 29 + [1])])
def test_classes_without_a_partner_are_refused(teacher, labels):
    with pytest.raises(EvaluationError, match="every class needs two and there must be two classes"):
        calibrate(teacher, images(labels), {"pixels": [extractor()]}, CONFIG)


def test_too_few_images_are_refused(teacher):
    many = CONFIG
    with pytest.raises(EvaluationError, match="draws need at least two images each"):
        calibrate(
            teacher,
            images(torch.arange(6) % 2),
            {"pixels": [extractor()]},
            many.model_copy(update={"draws": 4}),
        )


def test_images_that_no_blur_changes_are_refused_instead_of_tried_for_ever(teacher, monkeypatch):
    monkeypatch.setattr(measure, "matching_blur", lambda images, error: None)
    with pytest.raises(EvaluationError, match="train the teacher longer"):
        run(teacher)
