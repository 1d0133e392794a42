from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import pytest
import small_models
import torch
from small_models import draw, seeded
from torch import Tensor, nn

from sftok.data.base import MemoryImageSet
from sftok.decoding.guidance import GenerationConfig
from sftok.evaluation.config import EvaluationConfig, GenerationEvaluationConfig, MeasuredConfig
from sftok.evaluation.extractors.base import Extractor
from sftok.evaluation.generation import evaluate_generation
from sftok.evaluation.protocol import Evaluation
from sftok.evaluation.reconstruction import evaluate
from sftok.generation import DecodeTokens
from sftok.generators.maskgit import MaskGITGenerator
from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.tokenizers.sftok import SFTok

SIDE, CLASSES = 16, 4

ARGUMENTS = frozenset({"teacher", "on_progress", "parts", "resamples", "per_class", "other_reference"})
"""Of an evaluation, beside its configuration."""


class TinyExtractor:
    """A fixed random projection of the pixels; counts the images it has seen."""

    def __init__(self, classes: int | None = CLASSES) -> None:
        self.weight, self.classes, self.seen = draw(3 * SIDE * SIDE, 12) / 30, classes, 0

    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        self.seen += len(pixels)
        features = (pixels.flatten(1).float() / 255 - 0.5) @ self.weight
        return features, None if self.classes is None else 4 * features[:, : self.classes]


@pytest.fixture
def tiny() -> TinyExtractor:
    return TinyExtractor()


@pytest.fixture
def extractor(tiny: TinyExtractor) -> Extractor:
    # It stands in for the classifier: a label that a configuration can ask for.
    return Extractor("classifier", "0" * 64, tiny, chunk=7, device=torch.device("cpu"))


@pytest.fixture
def without_logits(extractor: Extractor) -> Extractor:
    return dataclasses.replace(extractor, network=TinyExtractor(classes=None))


@pytest.fixture
def make_images() -> Callable[..., MemoryImageSet]:
    def make(count: int = 50, seed: int = 0) -> MemoryImageSet:
        draws = seeded(seed)
        coarse = torch.rand(count, 3, 5, 5, generator=draws)
        pixels = (nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear") * 255).byte()
        labels = torch.randint(CLASSES, (count,), generator=draws)
        return MemoryImageSet("tiny/test", tuple("abcd"), pixels, labels)

    return make


@pytest.fixture
def images(make_images) -> MemoryImageSet:
    return make_images()


@pytest.fixture
def teacher() -> MaskGITVQGAN:
    teacher = MaskGITVQGAN.from_config(small_models.TEACHER)
    # As initialized, the codes hardly differ, and every image looks the same.
    teacher.pixel_decoder.codebook.data.mul_(50)
    return teacher


@pytest.fixture
def tokenizer(teacher) -> SFTok:
    tokenizer = SFTok.from_config(small_models.sftok_config())
    tokenizer.pixel_decoder.load_state_dict(teacher.pixel_decoder.state_dict())
    return tokenizer


@pytest.fixture
def model() -> MaskGITGenerator:
    """A generator of the teacher's codes."""
    return small_models.perturbed(MaskGITGenerator.from_config(small_models.generator_record(16, 24, 4)))


@pytest.fixture
def config() -> EvaluationConfig:
    return EvaluationConfig(steps=(1, 3), extractors=("classifier",), batch_size=16, temperature=2.0)


@pytest.fixture
def generation_config() -> GenerationEvaluationConfig:
    return GenerationEvaluationConfig(
        generation=GenerationConfig(steps=3, temperature=2.0, guidance_scale=1.0),
        num_images=30,
        extractors=("classifier",),
        batch_size=8,
        example_classes=4,
        examples_per_class=2,
    )


@pytest.fixture
def decode(teacher) -> DecodeTokens:
    return lambda ids, noise: teacher.decode(ids)


def runner(evaluate: Callable[..., Evaluation], config: MeasuredConfig, **arguments: Any):
    """`evaluate` with a configuration that the keywords of a call change."""

    def run(**changes: Any) -> Evaluation:
        given = arguments | {key: changes.pop(key) for key in ARGUMENTS & changes.keys()}
        return evaluate(config.model_copy(update=changes), **given)

    return run


@pytest.fixture
def reconstruct(tokenizer, teacher, images, extractor, config, tmp_path) -> Callable[..., Evaluation]:
    """Evaluate the tokenizer; keywords change the configuration."""
    measure = functools.partial(evaluate, tokenizer, images)
    return runner(measure, config, extractors=[extractor], cache_dir=tmp_path, teacher=teacher)


@pytest.fixture
def generate(model, decode, images, extractor, generation_config, tmp_path) -> Callable[..., Evaluation]:
    """Evaluate the generator; keywords change the configuration."""
    measure = functools.partial(evaluate_generation, model, decode, images)
    return runner(measure, generation_config, extractors=[extractor], cache_dir=tmp_path)
