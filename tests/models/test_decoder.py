from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from sftok.models.base import Decoder, DecoderConfig


@pytest.fixture
def decoder(config) -> Decoder:
    return config.decoder.build(4, 8, 16, 24)


@pytest.fixture
def quantized(generator):
    return torch.randn(3, 4, 8, generator=generator)


def test_shape_and_mask_id(decoder, quantized):
    assert decoder.mask_id == 24
    assert decoder(torch.full((3, 16), decoder.mask_id), quantized).shape == (3, 16, 24)


def test_a_known_code_informs_the_other_positions(decoder, quantized):
    masked = torch.full((3, 16), decoder.mask_id)
    known = masked.clone()
    known[:, 0] = 7
    assert not torch.allclose(decoder(masked, quantized)[:, 1:], decoder(known, quantized)[:, 1:])


def test_latent_tokens_inform_every_position(decoder, quantized):
    masked = torch.full((3, 16), decoder.mask_id)
    difference = decoder(masked, quantized) - decoder(masked, quantized + 1)
    assert (difference.abs().amax(-1) > 0).all()


def test_samples_are_independent(decoder, quantized):
    masked = torch.full((3, 16), decoder.mask_id)
    assert_close(decoder(masked, quantized)[1:2], decoder(masked[1:2], quantized[1:2]))


def test_every_parameter_and_the_latents_get_a_gradient(decoder, quantized):
    quantized.requires_grad_()
    ids = torch.arange(16).expand(3, 16).clone()
    ids[:, 8:] = decoder.mask_id
    decoder(ids, quantized).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in decoder.parameters())
    assert quantized.grad.abs().sum() > 0


def test_the_first_prediction_is_that_of_masks_alone_and_without_gradient(decoder, quantized):
    masked = torch.full((3, 16), decoder.mask_id)
    predicted = decoder.first_prediction(quantized.requires_grad_())
    assert torch.equal(predicted, decoder(masked, quantized).argmax(-1))
    assert predicted.dtype == torch.int64
    assert not predicted.requires_grad


def test_config_refuses_heads_that_do_not_divide(config):
    with pytest.raises(ValueError, match="heads 3 does not divide width 16"):
        DecoderConfig.member_of(config.decoder.model_dump() | {"heads": 3})
