from __future__ import annotations

import pytest
import torch
from small_models import generator_record, seeded

from sftok.decoding.guidance import GenerationConfig
from sftok.generation import generate, generate_ids
from sftok.models.generator import MaskGITGenerator

CONFIG = generator_record(6, 10, 3)
LABELS = torch.tensor([0, 1, 2, 1])


@pytest.fixture
def model() -> MaskGITGenerator:
    model = MaskGITGenerator.from_config(CONFIG)
    for parameter in model.parameters():
        parameter.data.add_(0.3 * torch.randn(parameter.shape, generator=seeded(parameter.numel())))
    return model


def decode_ids(ids: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    noise = torch.rand(len(ids), 3, 2, 2, generator=generator)
    return (noise + ids.float().mean(1).view(-1, 1, 1, 1) / CONFIG.vocabulary) / 2


def test_an_image_for_each_label_and_no_id_left_masked(model):
    generated = generate(model, decode_ids, LABELS, GenerationConfig(steps=3), seeded())
    assert generated.ids.shape == (4, 6)
    assert ((generated.ids >= 0) & (generated.ids < CONFIG.vocabulary)).all()
    assert generated.images.shape == (4, 3, 2, 2)
    assert not generated.images.requires_grad


def test_a_seed_fixes_ids_and_images_and_the_global_state_does_not_matter(model):
    config = GenerationConfig(steps=4, temperature=3.0)
    torch.manual_seed(1)
    first = generate(model, decode_ids, LABELS, config, seeded(5))
    torch.manual_seed(2)
    second = generate(model, decode_ids, LABELS, config, seeded(5))
    assert torch.equal(first.ids, second.ids)
    assert torch.equal(first.images, second.images)
    assert not torch.equal(first.ids, generate(model, decode_ids, LABELS, config, seeded(6)).ids)


def test_temperature_zero_draws_nothing(model):
    generator = seeded()
    state = generator.get_state()
    config = GenerationConfig(steps=4, temperature=0.0)
    first = generate_ids(model, LABELS, config, generator)
    assert torch.equal(generator.get_state(), state)
    assert torch.equal(first[1], first[3])  # the same class


def test_scale_zero_samples_what_the_class_alone_says(model):
    seen = []
    config = GenerationConfig(steps=3, temperature=0.0, guidance_scale=0.0)
    generate_ids(
        model,
        LABELS,
        config,
        seeded(),
        on_step=lambda step, before, logits, after: seen.append((before, logits)),
    )
    assert len(seen) == 3
    with torch.no_grad():
        assert all(torch.equal(logits, model(ids, LABELS)) for ids, logits in seen)


def test_guidance_and_class_matter(model):
    plain, strong = (
        generate_ids(model, LABELS, GenerationConfig(temperature=0.0, guidance_scale=scale), seeded())
        for scale in (0.0, 20.0)
    )
    assert not torch.equal(plain, strong)
    assert not torch.equal(strong[0], strong[1])
