from __future__ import annotations

from collections.abc import Callable

import pytest
import small_models
import torch
from torch import Tensor, nn
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from sftok.data.base import MemoryImageSet
from sftok.evaluation.config import EvaluationConfig, ExtractorConfig
from sftok.evaluation.extractors import Extractor
from sftok.models.tokenizer import SFTok
from sftok.teacher.vqgan import MaskGITVQGAN

SIDE, CLASSES = 16, 4


class TinyExtractor(FeatureExtractorBase):
    """A fixed random projection of the pixels; counts the images it has seen."""

    def __init__(self, seed: int = 0):
        super().__init__("tiny", ["features", "logits"])
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(
            torch.randn(3 * SIDE * SIDE, 12, generator=generator) / 30, requires_grad=False
        )
        self.seen = 0

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        self.seen += len(pixels)
        features = (pixels.flatten(1).float() / 255 - 0.5) @ self.weight
        layers = {"features": features, "logits": 4 * features[:, :CLASSES]}
        return tuple(layers[name] for name in self.features_list)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return "features", "logits"


@pytest.fixture
def tiny() -> TinyExtractor:
    return TinyExtractor()


@pytest.fixture
def extractor(tiny: TinyExtractor) -> Extractor:
    # It stands in for the classifier: a label that a configuration can ask for.
    return Extractor("classifier", "0" * 64, tiny, chunk=7, device=torch.device("cpu"))


@pytest.fixture
def make_images() -> Callable[..., MemoryImageSet]:
    def make(count: int = 50, seed: int = 0) -> MemoryImageSet:
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.rand(count, 3, 5, 5, generator=generator)
        smooth = nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear")
        labels = torch.randint(CLASSES, (count,), generator=generator)
        return MemoryImageSet("tiny/test", ("a", "b", "c", "d"), (smooth * 255).byte(), labels)

    return make


@pytest.fixture
def images(make_images: Callable[..., MemoryImageSet]) -> MemoryImageSet:
    return make_images()


@pytest.fixture
def teacher() -> MaskGITVQGAN:
    teacher = MaskGITVQGAN.from_config(small_models.TEACHER)
    # As initialised, the codes hardly differ, and every image looks the same.
    teacher.pixel_decoder.codebook.data.mul_(50)
    return teacher


@pytest.fixture
def tokenizer(teacher: MaskGITVQGAN) -> SFTok:
    tokenizer = SFTok.from_config(small_models.sftok_config())
    tokenizer.pixel_decoder.load_state_dict(teacher.pixel_decoder.state_dict())
    return tokenizer


@pytest.fixture
def config() -> EvaluationConfig:
    return EvaluationConfig(
        steps=(1, 3), extractors=(ExtractorConfig(name="classifier"),), batch_size=16, temperature=2.0
    )
