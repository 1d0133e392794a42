"""Values that follow from a definition, or that another implementation gives."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from batches import COUNT, SPACE, alexnet, draw, reference, whole
from small_models import seeded
from torch import Tensor
from torch.utils.data import Dataset
from torch_fidelity import calculate_metrics, registry
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from sftok.metrics.base import EvaluationError, Features, Measured, MetricConfig, Setup
from sftok.metrics.code_accuracy import CodeAccuracy
from sftok.metrics.codebook_use import CodebookUse
from sftok.metrics.fid import frechet_distance
from sftok.metrics.inception_score import InceptionScore, inception_score
from sftok.metrics.lpips import LPIPS
from sftok.metrics.luma import luma
from sftok.metrics.psnr import PSNR
from sftok.metrics.ssim import SSIM

REFERENCE, OTHER = reference(draw(0)), draw(1, 1.3)
WHOLE = whole()
CPU = torch.device("cpu")


def pair(images: Tensor, originals: Tensor) -> Measured:
    return Measured(images=images, originals=originals)


def test_the_frechet_distance_of_a_set_to_itself_is_zero():
    assert frechet_distance(REFERENCE.features, REFERENCE) == pytest.approx(0, abs=1e-4)


def test_inception_score_of_certain_and_of_uniform_predictions():
    assert inception_score(100 * torch.eye(5).repeat(4, 1)) == pytest.approx(5)
    assert inception_score(torch.zeros(7, 5)) == pytest.approx(1)


def test_a_feature_space_without_logits_has_no_inception_score():
    metric = InceptionScore(REFERENCE)
    metric.update(Measured(features={SPACE: Features(OTHER.features)}))
    with pytest.raises(ValueError, match="tiny has no logits"):
        metric.compute()


class Pixels(Dataset[Tensor]):
    """Images that are their own features."""

    def __init__(self, features: Tensor) -> None:
        self.features = features

    def __getitem__(self, index: int) -> Tensor:
        return self.features[index].view(3, 2, 1)

    def __len__(self) -> int:
        return len(self.features)


class PixelExtractor(FeatureExtractorBase):
    """Pixels as features, and their first four as logits."""

    def __init__(self, name: str, features_list: list[str], **_: object) -> None:
        super().__init__(name, features_list)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        layers = {"features": pixels.flatten(1).float(), "logits": pixels.flatten(1)[:, :4].float() / 50}
        return tuple(layers[name] for name in self.features_list)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return "features", "logits"

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return "logits" if metric == "isc" else "features"

    @staticmethod
    def can_be_compiled() -> bool:
        return False


def test_the_metrics_of_features_are_torch_fidelitys(monkeypatch):
    """Against `calculate_metrics`, which extracts features by itself."""
    monkeypatch.setitem(registry.FEATURE_EXTRACTORS_REGISTRY, SPACE, PixelExtractor)
    draws = seeded()
    real, fake = (torch.randint(low, 256, (50, 6), dtype=torch.uint8, generator=draws) for low in (0, 60))
    options = {"fid": True, "isc": True, "kid": True, "prc": True, "isc_splits": 1, "kid_subset_size": 50}
    quiet = {"cuda": False, "cache": False, "verbose": False, "samples_shuffle": False, "save_cpu_ram": True}
    official = calculate_metrics(
        input1=Pixels(fake), input2=Pixels(real), feature_extractor=SPACE, **options, **quiet
    )
    spaces = [Features(each.float(), each[:, :4].float() / 50) for each in (real, fake)]
    setup = Setup(device=torch.device("cpu"), reference=reference(spaces[0]))
    found: dict[str, float] = {}
    for name in ("rfid", "is", "kid", "precision_recall"):
        metric = MetricConfig.find(name)().build(setup)
        metric.update(Measured(features={SPACE: spaces[1]}))
        found |= metric.compute()
    names = {
        "rfid": "frechet_inception_distance",
        "is": "inception_score_mean",
        "kid": "kernel_inception_distance_mean",
        "precision": "precision",
        "recall": "recall",
    }
    assert found == pytest.approx({name: official[theirs] for name, theirs in names.items()}, rel=1e-4)


def test_psnr_is_the_mean_of_the_images_own():
    pairs = zip(luma(WHOLE.images), luma(WHOLE.originals), strict=True)
    expected = torch.stack([peak_signal_noise_ratio(*each, data_range=1.0) for each in pairs])
    torch.testing.assert_close(PSNR().per_image(WHOLE), expected)


def test_gray_images_have_their_known_values_and_identical_ones_finite_values():
    gray = torch.full((1, 3, 12, 12), 0.5)
    assert PSNR().per_image(pair(gray + 0.1, gray)).item() == pytest.approx(20.0, abs=1e-4)
    assert PSNR().per_image(pair(gray, gray)).item() == pytest.approx(100.0)
    assert SSIM().per_image(pair(gray, gray)).item() == pytest.approx(1.0)


def test_ssim_is_torchmetrics_without_its_reflected_borders():
    pair_of_luma = (luma(each)[:, None].double() for each in (WHOLE.images, WHOLE.originals))
    options = {"data_range": 1.0, "reduction": "none", "return_full_image": True}
    _, maps = structural_similarity_index_measure(*pair_of_luma, **options)
    expected = maps[..., 5:-5, 5:-5].mean(dim=(1, 2, 3))
    torch.testing.assert_close(SSIM().per_image(WHOLE), expected, atol=1e-7, rtol=0)


@pytest.fixture(scope="module")
def lpips() -> LPIPS:
    return LPIPS(alexnet())


def test_lpips_is_the_networks_distance_of_images_in_0_to_1(lpips):
    by_hand = lpips.network(2 * WHOLE.images - 1, 2 * WHOLE.originals - 1).flatten()
    torch.testing.assert_close(lpips.per_image(WHOLE), by_hand, rtol=1e-5, atol=1e-7)
    assert lpips.per_image(pair(WHOLE.images, WHOLE.images)).tolist() == [0.0] * COUNT


def test_images_too_small_for_a_metric_are_refused(lpips):
    small = torch.rand(2, 3, 10, 14)
    with pytest.raises(ValueError, match="11 pixels"):
        SSIM().update(pair(small, small))
    with pytest.raises(EvaluationError, match="32 pixels"):
        lpips.update(pair(small, small))


def test_code_accuracy_counts_matches():
    codes, metric = torch.arange(6).repeat(2, 1), CodeAccuracy()
    teacher = codes.clone()
    teacher[0, :3] = 8
    metric.update(Measured(codes=codes, teacher_codes=teacher))
    assert metric.compute() == {"code_accuracy": 0.75}
    with pytest.raises(ValueError, match="this batch has none"):
        metric.update(dataclasses.replace(WHOLE, codes=None))


def test_codebook_use_of_known_counts():
    metric = CodebookUse(8)
    metric.update(Measured(ids=torch.tensor([[0, 1], [2, 3]])))
    known = {"codebook_usage": 0.5, "codebook_entropy": 2.0, "codebook_perplexity": 4.0}
    assert metric.compute() == pytest.approx(known)
    metric.update(Measured(ids=torch.full((1000, 100), 5)))
    assert metric.compute()["codebook_entropy"] < 0.01
    assert not math.isnan(metric.compute()["codebook_perplexity"])


@pytest.mark.parametrize(("name", "missing"), [("rfid", "reference"), ("codebook_use", "codebook")])
def test_a_metric_says_what_it_lacks(name, missing):
    with pytest.raises(ValueError, match=missing):
        MetricConfig.find(name)().build(Setup(device=torch.device("cpu")))


def test_labels_agree_where_the_likeliest_class_is_that_of_the_original():
    metric = MetricConfig.find("label_agreement")().build(Setup(device=CPU, reference=REFERENCE))
    logits = 5 * torch.eye(4)[torch.tensor([0, 1, 2, 3])]
    features = {SPACE: Features(torch.zeros(4, 6), logits)}
    metric.update(Measured(features=features, labels={SPACE: torch.tensor([0, 1, 2, 0])}))
    assert metric.compute() == {"label_agreement": 0.75}
    with pytest.raises(EvaluationError, match="tiny has no logits"):
        metric.update(Measured(features={SPACE: Features(torch.zeros(4, 6))}))


def test_density_and_coverage_by_hand():
    # Real images at 0, 1, 2, ... on a line: with one neighbor, every radius is 1, and a sphere is open.
    real = torch.arange(6.0)[:, None]
    setup = Setup(device=CPU, reference=reference(Features(real)))
    metric = MetricConfig.member_of({"name": "density_coverage", "neighbors": 1}).build(setup)
    metric.update(Measured(features={SPACE: Features(torch.tensor([[0.5], [0.6], [40.0]]))}))
    # Both near images lie in the spheres of 0 and of 1, and the far one in none.
    assert metric.compute() == {"density": pytest.approx(4 / 3), "coverage": pytest.approx(2 / 6)}


def test_real_images_cover_themselves_as_densely_as_expected():
    points = torch.rand(400, 2, generator=seeded())
    metric = MetricConfig.find("density_coverage")().build(
        Setup(device=CPU, reference=reference(Features(points)))
    )
    metric.update(Measured(features={SPACE: Features(torch.rand(400, 2, generator=seeded(1)))}))
    found = metric.compute()
    assert found["density"] == pytest.approx(1, abs=0.1)
    assert found["coverage"] > 0.9


@pytest.mark.parametrize("name", ["precision_recall", "density_coverage"])
def test_all_pairs_of_only_the_first_images_can_be_compared(name):
    few = MetricConfig.member_of({"name": name, "images": 12}).build(Setup(device=CPU, reference=REFERENCE))
    first = dataclasses.replace(REFERENCE, features=REFERENCE.features[:12])
    whole_of_few = MetricConfig.find(name)().build(Setup(device=CPU, reference=first))
    few.update(Measured(features={SPACE: OTHER}))
    whole_of_few.update(Measured(features={SPACE: Features(OTHER.features[:12])}))
    assert few.compute() == whole_of_few.compute()
