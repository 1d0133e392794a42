from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from sftok.config import ConfigError
from sftok.models.base import BackboneConfig
from sftok.teacher.vqgan import MASKGIT_VQGAN, MaskGITVQGAN, MaskGITVQGANRecord, VQGANConfig

VALUES = {
    "hidden_channels": 8,
    "channel_multipliers": (1, 1, 2),
    "num_res_blocks": 1,
    "code_dim": 6,
    "codebook_size": 24,
    "norm_groups": 4,
}


@pytest.fixture
def vqgan() -> MaskGITVQGAN:
    return MaskGITVQGAN(VQGANConfig(**VALUES), 12).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def test_derived_sizes():
    for config, size, expected in (
        (VQGANConfig(**VALUES), 12, (4, 3, 9)),
        (MASKGIT_VQGAN.backbone, 256, (16, 16, 256)),
    ):
        assert (config.factor, config.code_grid(size), config.num_codes(size)) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm_groups": 3}, "norm_groups 3 does not divide 8 channels"),
        ({"channel_multipliers": (2, 4), "norm_groups": 16}, "norm_groups 16 does not divide 8 channels"),
        ({"channel_multipliers": ()}, "channel_multipliers"),
        ({"channel": 3}, "unknown key 'channel'"),
    ],
)
def test_config_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        BackboneConfig.member_of({"name": "maskgit-vqgan", **VALUES, **change})


def test_images_that_codes_do_not_cover_are_refused():
    with pytest.raises(ConfigError, match="image_size 14 is not a multiple of 4"):
        MaskGITVQGANRecord.build({"image_size": 14, "backbone": VQGANConfig(**VALUES)})
    with pytest.raises(ValueError, match="image_size 14 is not a multiple of 4"):
        MaskGITVQGAN(VQGANConfig(**VALUES), 14)


def test_encode_takes_the_nearest_code(vqgan, images):
    codes = vqgan.encode(images)
    assert codes.shape == (4, 9)
    hidden = vqgan.encoder(images).flatten(2).transpose(1, 2)
    distances = torch.cdist(hidden.flatten(0, 1), vqgan.pixel_decoder.codebook)
    assert torch.equal(codes, distances.argmin(1).view(4, 9))


def test_decode_is_the_clamped_pixel_decoder(vqgan, images):
    codes = vqgan.encode(images)
    decoded = vqgan.decode(codes)
    assert decoded.shape == images.shape
    assert_close(decoded, vqgan.pixel_decoder.decode_codes(codes).clamp(0, 1))


def test_without_gradients_images_pass_a_part_at_a_time(vqgan, images, monkeypatch):
    together = vqgan.encode(images)
    decoded = vqgan.decode(together)
    sizes = []
    vqgan.encoder.register_forward_hook(lambda *_: sizes.append(len(_[1][0])))
    vqgan.pixel_decoder.conv_out.register_forward_hook(lambda *_: sizes.append(len(_[1][0])))
    monkeypatch.setattr("sftok.teacher.vqgan.PIXELS_AT_ONCE", 3 * 12**2)
    assert torch.equal(vqgan.encode(images), together)
    assert_close(vqgan.decode(together), decoded)
    assert sizes == [3, 1, 3, 1]
    vqgan.pixel_decoder.decode_codes(together).sum().backward()
    assert sizes[4:] == [4], "with gradients all at once"


def test_codes_are_laid_out_row_by_row(vqgan):
    codes = torch.arange(9).view(1, 9)
    grid = vqgan.pixel_decoder.codebook[codes].view(3, 3, 6).permute(2, 0, 1).unsqueeze(0)
    assert_close(vqgan.pixel_decoder.decode_codes(codes), vqgan.pixel_decoder.decode_embeddings(grid))


def test_certain_logits_decode_like_their_codes(vqgan, images):
    codes = vqgan.encode(images)
    logits = 100.0 * torch.nn.functional.one_hot(codes, 24)
    assert_close(vqgan.pixel_decoder.decode_soft(logits), vqgan.pixel_decoder.decode_codes(codes))


def test_training_reaches_every_parameter(vqgan, images):
    reconstruction, quantized = vqgan.train()(images)
    assert reconstruction.shape == images.shape
    assert quantized.ids.shape == (4, 9)
    ((reconstruction - images).square().mean() + quantized.loss).backward()
    for name, parameter in vqgan.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_training_assigns_by_transport_and_evaluation_by_distance(vqgan, images):
    crowded = 0.5 + 0.1 * images
    nearest = vqgan(crowded)[1].ids
    assert torch.equal(nearest, vqgan.encode(crowded))
    spread = vqgan.train()(crowded)[1].ids
    assert spread.unique().numel() > nearest.unique().numel()


def test_bfloat16_autocast_trains(vqgan, images):
    with torch.autocast("cpu", torch.bfloat16):
        reconstruction, quantized = vqgan.train()(images)
    assert quantized.loss.dtype == torch.float32
    ((reconstruction.float() - images).square().mean() + quantized.loss).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in vqgan.parameters())


def test_a_seed_fixes_the_weights():
    config = VQGANConfig(**VALUES)
    one, same, other = (MaskGITVQGAN(config, 12, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.pixel_decoder.codebook, same.pixel_decoder.codebook)
    assert torch.equal(one.encoder.conv_in.weight, same.encoder.conv_in.weight)
    assert not torch.equal(one.encoder.conv_in.weight, other.encoder.conv_in.weight)
