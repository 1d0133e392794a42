"""What holds for every autoencoder."""

from __future__ import annotations

import pytest
import torch
from small_models import seeded
from torch.testing import assert_close

from sftok.models.autoencoders.base import AutoencoderConfig
from sftok.quantizers.vq import VQConfig
from sftok.tokenizers.pixel import PixelTokenizer, PixelTokenizerConfig

SIZE, DIM = 24, 6
CONVOLUTIONS = {"hidden_channels": 8, "channel_multipliers": (1, 2, 2), "norm_groups": 4, "num_res_blocks": 1}
TAMING = {"name": "taming", **CONVOLUTIONS, "attention_levels": (2,), "z_channels": 10}
VIT = {"width": 16, "depth": 2, "heads": 2}

MEMBERS = {
    "taming": TAMING,
    "taming, spatial norm": {**TAMING, "decoder_norm": "spatial"},
    "taming, wavelets": {**TAMING, "halvings": 1, "haar_levels": 1},
    "maskbit": {"name": "maskbit", **CONVOLUTIONS},
    "open-magvit2": {"name": "open-magvit2", **CONVOLUTIONS},
    "vit-vqgan": {"name": "vit-vqgan", **VIT, "patch_size": 4, "mlp_width": 32, "head_width": 8},
    "titok": {
        "name": "titok",
        "num_latent_tokens": 5,
        "encoder": {"name": "vit", **VIT, "patch_size": 4},
        "decoder": VIT,
        "patch_size": 4,
    },
    "imagefolder": {"name": "imagefolder", **VIT, "patch_size": 4, "latent_grid": 3, "layer_scale": 0.5},
}


@pytest.fixture(params=MEMBERS)
def member(request) -> AutoencoderConfig:
    return AutoencoderConfig.member_of(MEMBERS[request.param])


def halves(member: AutoencoderConfig, seed: int = 0) -> torch.nn.ModuleList:
    generator = seeded(seed)
    encoder = member.build_encoder(SIZE, DIM, generator)
    return torch.nn.ModuleList([encoder, member.build_decoder(SIZE, DIM, generator)])


def images(count: int = 3) -> torch.Tensor:
    return torch.rand(count, 3, SIZE, SIZE, generator=seeded(1))


@torch.no_grad()
def test_images_become_latents_and_latents_images(member):
    encoder, decoder = halves(member)
    latents = encoder(images())
    assert latents.shape == (3, member.num_latents(SIZE), DIM)
    decoded = decoder(latents)
    assert decoded.shape == (3, 3, SIZE, SIZE)
    assert decoded.isfinite().all()


@torch.no_grad()
def test_an_image_is_coded_by_itself(member):
    encoder, decoder = halves(member)
    together = encoder(images())
    for index in range(3):
        assert_close(encoder(images()[index : index + 1])[0], together[index], atol=1e-5, rtol=1e-5)
    assert_close(decoder(together[:1])[0], decoder(together)[0], atol=1e-5, rtol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-4, "latents tell images apart"


def test_a_seed_fixes_the_weights_and_the_global_generator_does_not_matter(member):
    torch.manual_seed(5)
    one = halves(member).state_dict()
    torch.manual_seed(6)
    same, other = halves(member).state_dict(), halves(member, seed=2).state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_without_a_generator_the_seed_is_zero(member):
    encoder = member.build_encoder(SIZE, DIM).state_dict()
    same = member.build_encoder(SIZE, DIM, seeded(0)).state_dict()
    assert all(torch.equal(encoder[name], same[name]) for name in encoder)


def test_training_reaches_every_parameter(member):
    encoder, decoder = halves(member)
    loss = (decoder(encoder(images())) - images()).square().mean()
    loss.backward()
    for half in (encoder, decoder):
        for name, parameter in half.named_parameters():
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().sum() > 0, name


def test_a_tokenizer_around_it_is_saved_and_loaded(member, tmp_path):
    config = PixelTokenizerConfig(
        image_size=SIZE, autoencoder=member, quantizer=VQConfig(codebook_size=16), latent_dim=DIM
    )
    tokenizer = PixelTokenizer.from_config(config, seeded(3)).eval()
    loaded = PixelTokenizer.from_pretrained(tokenizer.save_pretrained(tmp_path))
    assert loaded.record == config
    ids = tokenizer.encode(images())
    assert torch.equal(loaded.encode(images()), ids)
    assert torch.equal(loaded.decode(ids), tokenizer.decode(ids))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("taming", {"norm_groups": 3}, "norm_groups 3 does not divide 8 channels"),
        ("taming", {"attention_levels": (3,)}, "attention_levels has 3; levels are 0 to 2"),
        ("taming", {"halvings": 3}, "halvings 3 of 3 levels; the last does not halve"),
        ("taming", {"decoder_norm": "batch"}, "'group' or 'spatial'"),
        ("maskbit", {"channel_multipliers": ()}, "channel_multipliers"),
        ("vit-vqgan", {"width": 18}, "multiple of 4"),
        ("imagefolder", {"heads": 3}, "heads 3 does not divide width 16"),
    ],
)
def test_an_unusable_configuration_is_refused(name, change, message):
    with pytest.raises(ValueError, match=message):
        AutoencoderConfig.member_of({**MEMBERS[name], **change})


@pytest.mark.parametrize(
    ("name", "size", "dim", "message"),
    [
        ("taming", 26, DIM, "image_size 26 is not a multiple of 4"),
        ("taming, wavelets", 30, DIM, "image_size 30 is not a multiple of 4"),
        ("open-magvit2", 26, DIM, "image_size 26 is not a multiple of 4"),
        ("vit-vqgan", 26, DIM, "patch_size 4 does not divide image_size 26"),
        ("titok", 26, DIM, "patch_size 4 does not divide image_size 26"),
        ("imagefolder", 26, DIM, "patch_size 4 does not divide image_size 26"),
        ("imagefolder", SIZE, 5, "latent_dim 5 is not divisible by branches 2"),
    ],
)
def test_images_and_latents_that_do_not_fit_are_refused(name, size, dim, message):
    with pytest.raises(ValueError, match=message):
        AutoencoderConfig.member_of(MEMBERS[name]).check(size, dim)
