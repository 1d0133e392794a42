from __future__ import annotations

import pytest
import torch
from small_models import draw
from torch.testing import assert_close

from sftok.models.base import Decoder, DecoderConfig

MASK = 24
MASKED = torch.full((3, 16), MASK)


@pytest.fixture
def decoder(config) -> Decoder:
    return config.decoder.build(4, 8, 16, MASK)


@pytest.fixture
def quantized() -> torch.Tensor:
    return draw(3, 4, 8)


def test_latent_tokens_and_known_codes_inform_every_position_of_their_image_alone(decoder, quantized):
    assert decoder.mask_id == MASK
    logits = decoder(MASKED, quantized)
    assert logits.shape == (3, 16, 24)
    assert_close(decoder(MASKED[1:2], quantized[1:2]), logits[1:2])
    assert ((decoder(MASKED, quantized + 1) - logits).abs().amax(-1) > 0).all()
    known = MASKED.clone()
    known[:, 0] = 7
    assert not torch.allclose(decoder(known, quantized)[:, 1:], logits[:, 1:])


def test_every_parameter_and_the_latents_get_a_gradient(decoder, quantized):
    ids = torch.where(torch.arange(16) < 8, torch.arange(16), MASKED)
    decoder(ids, quantized.requires_grad_()).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in (*decoder.parameters(), quantized))


def test_the_first_prediction_is_that_of_masks_alone_and_without_gradient(decoder, quantized):
    predicted = decoder.first_prediction(quantized.requires_grad_())
    assert torch.equal(predicted, decoder(MASKED, quantized).argmax(-1))
    assert predicted.dtype == torch.int64
    assert not predicted.requires_grad


def test_heads_that_do_not_divide_are_refused(config):
    with pytest.raises(ValueError, match="heads 3 does not divide width 16"):
        DecoderConfig.member_of(config.decoder.model_dump() | {"heads": 3})
