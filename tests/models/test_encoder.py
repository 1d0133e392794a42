from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.testing import assert_close

from sftok.models.base import EncoderConfig
from sftok.models.encoder import ViTEncoder


@pytest.fixture
def build(config) -> Callable[..., ViTEncoder]:
    return lambda **changes: config.encoder.model_copy(update=changes).build(16, 4, 8)


def test_latents_are_of_each_image_alone_and_every_parameter_gets_a_gradient(build, images):
    encoder = build()
    latents = encoder(images)
    assert latents.shape == (5, 4, 8)
    assert_close(encoder(images[2:3]), latents[2:3])
    latents.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


def test_images_of_another_size_are_refused(build, images):
    as_many_patches = images.reshape(len(images), 3, 8, 32)
    for wrong in (as_many_patches, images[:, :1], images[0]):
        with pytest.raises(ValueError, match=r"this encoder takes \[B, 3, 16, 16\]"):
            build()(wrong)


def test_legacy_layout_reads_the_memory_of_tokens_as_channels(build, images):
    straight, legacy, captured = build(), build(latent_layout="legacy"), {}
    assert legacy.state_dict().keys() == straight.state_dict().keys()
    straight.norm_out.register_forward_hook(lambda module, inputs, out: captured.update(latents=out))
    straight(images)
    reinterpreted = captured["latents"].contiguous().flatten(1).unflatten(1, (16, 4))
    expected = torch.einsum("bdk,od->bko", reinterpreted, legacy.to_latents.weight)
    assert_close(legacy(images), expected + legacy.to_latents.bias)
    assert not torch.allclose(legacy(images), straight(images))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 3}, "heads 3 does not divide width 16"),
        ({"latent_layout": "sideways"}, "latent_layout"),
        ({"widths": 4}, "did you mean 'width'"),
    ],
)
def test_an_unusable_configuration_is_refused(config, change, message):
    with pytest.raises(ValueError, match=message):
        EncoderConfig.member_of(config.encoder.model_dump() | change)
