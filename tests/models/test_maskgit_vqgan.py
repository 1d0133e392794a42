from __future__ import annotations

import pytest
import torch
from small_models import BACKBONE, seeded
from torch.testing import assert_close

from sftok.config import ConfigError
from sftok.models.base import BackboneConfig
from sftok.models.maskgit_vqgan import MASKGIT_VQGAN, MaskGITVQGAN, MaskGITVQGANRecord

IMAGES = torch.rand(4, 3, 12, 12, generator=seeded())


@pytest.fixture
def vqgan() -> MaskGITVQGAN:
    return MaskGITVQGAN(BACKBONE, 12).eval()


@pytest.mark.parametrize(
    ("config", "size", "expected"),
    [(BACKBONE, 12, (4, 3, 9)), (MASKGIT_VQGAN.backbone, 256, (16, 16, 256))],
)
def test_derived_sizes(config, size, expected):
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
def test_an_unusable_configuration_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        BackboneConfig.member_of(BACKBONE.model_dump() | change)


def test_images_that_codes_do_not_cover_are_refused():
    with pytest.raises(ConfigError, match="image_size 14 is not a multiple of 4"):
        MaskGITVQGANRecord.build({"image_size": 14, "backbone": BACKBONE})
    with pytest.raises(ValueError, match="image_size 14 is not a multiple of 4"):
        MaskGITVQGAN(BACKBONE, 14)


def test_encode_takes_the_nearest_code_and_decode_is_the_clamped_pixel_decoder(vqgan):
    codes = vqgan.encode(IMAGES)
    hidden = vqgan.encoder(IMAGES).flatten(2).transpose(1, 2)
    assert torch.equal(codes, torch.cdist(hidden, vqgan.pixel_decoder.codebook).argmin(2))
    decoded = vqgan.decode(codes)
    assert (codes.shape, decoded.shape) == ((4, 9), IMAGES.shape)
    assert_close(decoded, vqgan.pixel_decoder.decode_codes(codes).clamp(0, 1))


def test_codes_are_laid_out_row_by_row_and_certain_logits_decode_like_their_codes(vqgan):
    pixel_decoder, codes = vqgan.pixel_decoder, torch.arange(9).view(1, 9)
    decoded = pixel_decoder.decode_codes(codes)
    grid = pixel_decoder.codebook[codes].view(3, 3, 6).permute(2, 0, 1).unsqueeze(0)
    assert_close(decoded, pixel_decoder.decode_embeddings(grid))
    assert_close(decoded, pixel_decoder.decode_soft(100.0 * torch.nn.functional.one_hot(codes, 24)))


def test_without_gradients_images_pass_a_part_at_a_time(vqgan, monkeypatch):
    together, sizes = vqgan.encode(IMAGES), []
    decoded = vqgan.decode(together)
    for part in (vqgan.encoder, vqgan.pixel_decoder.conv_out):
        part.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    monkeypatch.setattr("sftok.models.maskgit_vqgan.PIXELS_AT_ONCE", 3 * 12**2)
    assert torch.equal(vqgan.encode(IMAGES), together)
    assert_close(vqgan.decode(together), decoded)
    assert sizes == [3, 1, 3, 1]
    vqgan.pixel_decoder.decode_codes(together).sum().backward()
    assert sizes[4:] == [4], "with gradients all at once"


@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "bfloat16"])
def test_training_reaches_every_parameter(vqgan, mixed):
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        reconstruction, quantized = vqgan.train()(IMAGES)
    assert (reconstruction.shape, quantized.ids.shape) == (IMAGES.shape, (4, 9))
    assert quantized.loss.dtype == torch.float32
    ((reconstruction.float() - IMAGES).square().mean() + quantized.loss).backward()
    for name, parameter in vqgan.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert mixed or parameter.grad.abs().sum() > 0, name


def test_training_assigns_by_transport_and_evaluation_by_distance(vqgan):
    crowded = 0.5 + 0.1 * IMAGES
    nearest = vqgan(crowded)[1].ids
    assert torch.equal(nearest, vqgan.encode(crowded))
    assert vqgan.train()(crowded)[1].ids.unique().numel() > nearest.unique().numel()
