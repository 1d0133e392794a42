from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from sftok.config import ConfigError
from sftok.models.encoder import Encoder, EncoderConfig

VALUES = {
    "image_size": 16,
    "patch_size": 4,
    "width": 16,
    "depth": 2,
    "heads": 2,
    "num_latent_tokens": 4,
    "token_dim": 8,
}


def test_shape(config, images):
    assert Encoder(config.encoder)(images).shape == (5, 4, 8)


def test_an_images_latents_do_not_depend_on_its_batch(config, images):
    encoder = Encoder(config.encoder)
    assert_close(encoder(images)[2:3], encoder(images[2:3]))


def test_images_of_another_size_are_refused(config, images):
    encoder = Encoder(config.encoder)
    side = config.encoder.image_size
    as_many_patches = images.reshape(len(images), 3, side // 2, 2 * side)
    for wrong in (as_many_patches, images[:, :1], images[0]):
        with pytest.raises(ValueError, match=rf"this encoder takes \[B, 3, {side}, {side}\]"):
            encoder(wrong)


def test_every_parameter_gets_a_gradient(config, images):
    encoder = Encoder(config.encoder)
    encoder(images).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


def test_legacy_layout_reads_the_memory_of_tokens_as_channels(config, images):
    straight = Encoder(config.encoder)
    legacy = Encoder(config.encoder.model_copy(update={"latent_layout": "legacy"}))
    captured = {}
    straight.norm_out.register_forward_hook(lambda module, inputs, out: captured.update(latents=out))
    straight(images)
    reinterpreted = captured["latents"].contiguous().flatten(1).unflatten(1, (16, 4))
    expected = torch.einsum("bdk,od->bko", reinterpreted, legacy.to_latents.weight)
    assert_close(legacy(images), expected + legacy.to_latents.bias)
    assert not torch.allclose(legacy(images), straight(images))


def test_both_layouts_have_the_same_parameters(config):
    legacy = config.encoder.model_copy(update={"latent_layout": "legacy"})
    assert Encoder(legacy).state_dict().keys() == Encoder(config.encoder).state_dict().keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch_size": 5}, "patch_size 5 does not divide image_size 16"),
        ({"heads": 3}, "heads 3 does not divide width 16"),
        ({"latent_layout": "sideways"}, "latent_layout"),
        ({"num_latent_token": 4}, "did you mean 'num_latent_tokens'"),
    ],
)
def test_config_refuses(change, message):
    with pytest.raises(ConfigError, match=message):
        EncoderConfig.build(VALUES | change)
