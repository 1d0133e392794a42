from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.testing import assert_close

from sftok.models.base import EncoderConfig
from sftok.models.encoder import ViTEncoder, ViTEncoderConfig
from sftok.models.tokenizer import SFTokConfig


@pytest.fixture
def build(config: SFTokConfig) -> Callable[..., ViTEncoder]:
    def build(**changes: object) -> ViTEncoder:
        return config.encoder.model_copy(update=changes).build(16, 4, 8)

    return build


def test_shape(build, images):
    assert build()(images).shape == (5, 4, 8)


def test_an_images_latents_do_not_depend_on_its_batch(build, images):
    encoder = build()
    assert_close(encoder(images)[2:3], encoder(images[2:3]))


def test_images_of_another_size_are_refused(build, images):
    encoder = build()
    side = encoder.image_size
    as_many_patches = images.reshape(len(images), 3, side // 2, 2 * side)
    for wrong in (as_many_patches, images[:, :1], images[0]):
        with pytest.raises(ValueError, match=rf"this encoder takes \[B, 3, {side}, {side}\]"):
            encoder(wrong)


def test_every_parameter_gets_a_gradient(build, images):
    encoder = build()
    encoder(images).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


def test_legacy_layout_reads_the_memory_of_tokens_as_channels(build, images):
    straight = build()
    legacy = build(latent_layout="legacy")
    captured = {}
    straight.norm_out.register_forward_hook(lambda module, inputs, out: captured.update(latents=out))
    straight(images)
    reinterpreted = captured["latents"].contiguous().flatten(1).unflatten(1, (16, 4))
    expected = torch.einsum("bdk,od->bko", reinterpreted, legacy.to_latents.weight)
    assert_close(legacy(images), expected + legacy.to_latents.bias)
    assert not torch.allclose(legacy(images), straight(images))


def test_both_layouts_have_the_same_parameters(build):
    assert build(latent_layout="legacy").state_dict().keys() == build().state_dict().keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 3}, "heads 3 does not divide width 16"),
        ({"latent_layout": "sideways"}, "latent_layout"),
        ({"widths": 4}, "did you mean 'width'"),
    ],
)
def test_config_refuses(config, change, message):
    with pytest.raises(ValueError, match=message):
        EncoderConfig.member_of(config.encoder.model_dump() | change)


def test_images_that_patches_do_not_cover_are_refused():
    with pytest.raises(ValueError, match="patch_size 5 does not divide image_size 16"):
        ViTEncoderConfig(patch_size=5).check(16)
