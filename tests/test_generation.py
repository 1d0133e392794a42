from __future__ import annotations

import pytest
import torch
from small_models import generator_record, perturbed, seeded

from sftok.decoding.guidance import GenerationConfig
from sftok.generation import generate
from sftok.generators.maskgit import MaskGITGenerator

CONFIG = generator_record(6, 10, 3)
LABELS = torch.tensor([0, 1, 2, 1])


@pytest.fixture
def model() -> MaskGITGenerator:
    return perturbed(MaskGITGenerator.from_config(CONFIG))


def decode_ids(ids: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    noise = torch.rand(len(ids), 3, 2, 2, generator=generator)
    return (noise + ids.float().mean(1).view(-1, 1, 1, 1) / CONFIG.vocabulary) / 2


def test_a_seed_fixes_an_image_for_each_label_and_the_global_state_does_not_matter(model):
    config, found = GenerationConfig(steps=4, temperature=3.0), []
    for number, seed in enumerate((5, 5, 6)):
        torch.manual_seed(number)
        found.append(generate(model, decode_ids, LABELS, config, seeded(seed)))
    first, same, other = found
    assert torch.equal(first.tokens, same.tokens)
    assert torch.equal(first.images, same.images)
    assert not torch.equal(first.tokens, other.tokens)
    assert (first.tokens.shape, first.images.shape) == ((4, 6), (4, 3, 2, 2))
    assert ((first.tokens >= 0) & (first.tokens < CONFIG.vocabulary)).all(), "no id is left masked"
    assert not first.images.requires_grad


def test_scale_zero_samples_what_the_class_alone_says(model):
    config, seen = GenerationConfig(steps=3, temperature=0.0, guidance_scale=0.0), []
    model.sample(LABELS, config, seeded(), on_step=lambda *step: seen.append(step))
    assert len(seen) == 3
    with torch.no_grad():
        assert all(torch.equal(logits, model(before, LABELS)) for _, before, logits, _ in seen)
