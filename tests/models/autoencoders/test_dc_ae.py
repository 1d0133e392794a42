"""DC-AE: the authors' numbers and shapes, padding, explicit draws, refusals."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from small_models import draw, seeded
from torch.testing import assert_close

from sftok.checkpoints.pretrained import without_weights
from sftok.models.autoencoders.dc_ae import DCAEConfig

TINY = DCAEConfig(
    channels=(8, 16, 16, 32),
    encoder_blocks=(0, 1, 1, 1),
    decoder_blocks=(0, 2, 1, 1),
    attention_stages=2,
    head_dim=8,
    decoder_norm="batch_norm",
)
REFERENCE = Path(__file__).parents[2] / "data" / "reference"
assert_parity = partial(assert_close, atol=1e-5, rtol=1e-5)


def weights_of(numbers, part):
    prefix = f"{part}.weights."
    return {key.removeprefix(prefix): value for key, value in numbers.items() if key.startswith(prefix)}


def as_sequence(grid):
    return grid.flatten(2).transpose(1, 2)


def test_the_imagenet_version_agrees_with_the_authors(continuous_numbers):
    weights = weights_of(continuous_numbers, "dcae_in")
    encoder, decoder = TINY.build_encoder(32, 4), TINY.build_decoder(32, 4)
    for half, name in ((encoder, "encoder."), (decoder, "decoder.")):
        half.network.load_state_dict(
            {key.removeprefix(name): value for key, value in weights.items() if key.startswith(name)}
        )
        half.eval().requires_grad_(False)
    latents = encoder((continuous_numbers["dcae_in.in.images"] + 1) / 2)
    assert_parity(latents, as_sequence(continuous_numbers["dcae_in.out.latent"]))
    images = 2 * decoder(as_sequence(continuous_numbers["dcae_in.out.latent"])) - 1
    assert_parity(images, continuous_numbers["dcae_in.out.image"])


@pytest.mark.parametrize("kind", ["linear", "quadratic"])
def test_the_library_agrees_with_the_authors_on_attention(continuous_numbers, kind):
    from diffusers.models.attention_processor import SanaMultiscaleLinearAttention

    weights = weights_of(continuous_numbers, "dcae_attention")
    scales = tuple(
        value.shape[-1] for key, value in weights.items() if "proj_in.weight" in key and value.ndim == 4
    )
    attention = SanaMultiscaleLinearAttention(
        16, 16, attention_head_dim=8, norm_type="rms_norm", kernel_sizes=scales, residual_connection=True
    )
    attention.load_state_dict(weights)
    attention.eval().requires_grad_(False)
    assert_parity(
        attention(continuous_numbers[f"dcae_attention.in.{kind}"]),
        continuous_numbers[f"dcae_attention.out.{kind}"],
    )


def test_the_defaults_have_the_tensors_of_the_published_model():
    published = json.loads((REFERENCE / "keys_dcae_f32c32_in_diffusers.json").read_text())["tensors"]
    config = DCAEConfig(decoder_norm="batch_norm")
    with without_weights():
        halves = {"encoder": config.build_encoder(256, 32), "decoder": config.build_decoder(256, 32)}
    found = {
        f"{name}.{key}": list(value.shape)
        for name, half in halves.items()
        for key, value in half.network.state_dict().items()
    }
    assert found == {name: tensor["shape"] for name, tensor in published.items()}
    with without_weights():
        own = DCAEConfig().build_decoder(256, 32)
    counts = [sum(each.numel() for each in model.parameters()) for model in (own, halves["decoder"])]
    assert counts[0] == counts[1]


def test_images_are_padded_with_black_and_cropped_again():
    encoder, decoder = TINY.build_encoder(28, 4).eval(), TINY.build_decoder(28, 4).eval()
    images = torch.rand(2, 3, 28, 28, generator=seeded())
    latents = encoder(images)
    padded = torch.zeros(2, 3, 32, 32)
    padded[..., 2:30, 2:30] = images
    assert latents.shape == (2, TINY.num_latents(28), 4) == (2, 16, 4)
    wide_encoder, wide_decoder = TINY.build_encoder(32, 4).eval(), TINY.build_decoder(32, 4).eval()
    assert torch.equal(latents, wide_encoder(padded))
    assert torch.equal(decoder(latents), wide_decoder(latents)[..., 2:30, 2:30])


def test_weights_come_from_the_generator_alone():
    before = torch.random.get_rng_state()
    first, same, other = (TINY.build_decoder(16, 4, seeded(seed)).eval() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    latents = draw(1, 4, 4)
    assert torch.equal(first(latents), same(latents))
    assert not torch.equal(first(latents), other(latents))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder_blocks": (0, 0, 1, 1)}, r"encoder_blocks \[0, 0, 1, 1\]: one number per stage \(4\)"),
        ({"decoder_blocks": (0, 1)}, "decoder_blocks"),
        ({"attention_stages": 5}, "attention_stages 5 is more than 4 stages"),
        ({"channels": (8, 16, 18, 32)}, "no shortcut without weights from 16 to 18"),
        ({"channels": (8, 0, 16, 32)}, r"channels \[8, 0, 16, 32\]: every stage needs at least 1"),
        ({"head_dim": 12}, "head_dim 12 does not divide 16 channels"),
        ({"attention_scales": (3, 4)}, r"attention_scales \[3, 4\]: kernel sizes must be odd"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        DCAEConfig(**{**dict(TINY), **changes})


def test_latents_that_the_shortcut_does_not_divide_are_refused():
    with pytest.raises(ValueError, match="latent_dim 5 does not divide 32"):
        TINY.check(32, 5)
