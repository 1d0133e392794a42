from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import seeded, sftok_config

from sftok.config import ConfigError
from sftok.decoding.schedule import DecodingConfig, sample_mask
from sftok.losses.masked_cross_entropy import masked_cross_entropy
from sftok.quantizers.tail_drop import FirstTokens
from sftok.quantizers.vq import VQ
from sftok.tokenizers.sftok import SFTok, SFTokConfig

GREEDY = DecodingConfig(steps=4, temperature=0)


@given(st.integers(1, 5))
def test_ids_are_codes_of_each_image_alone_in_any_batch_and_mode(size):
    tokenizer, images = SFTok.from_config(sftok_config()), torch.rand(5, 3, 16, 16, generator=seeded())
    ids = tokenizer.eval().encode(images)
    assert (ids.shape, ids.dtype) == ((5, 4), torch.int64)
    assert ((ids >= 0) & (ids < 32)).all()
    tokenizer.train()
    assert torch.equal(torch.cat([tokenizer.encode(part) for part in images.split(size)]), ids)


def test_ids_that_no_encoder_makes_are_refused(tokenizer, images):
    ids = tokenizer.encode(images)
    for wrong in (ids[:, :1], ids[:, :2], ids[0]):
        with pytest.raises(ValueError, match="this tokenizer has 4 for each image"):
            tokenizer.decode(wrong, GREEDY)
    for wrong in (ids - 32, ids + 32):
        with pytest.raises(ValueError, match="this codebook has 0 to 31"):
            tokenizer.decode(wrong, GREEDY)
    assert tokenizer.decode(ids[:0], GREEDY).shape == images[:0].shape


def test_tokens_that_are_not_decoded_take_no_bits():
    tokenizer = SFTok.from_config(sftok_config())
    assert tokenizer.bits_per_image == 4 * 5
    tokenizer.quantizer = FirstTokens(tokenizer.quantizer, 1)
    assert tokenizer.bits_per_image == 5


def test_hard_and_soft_lookup_decode_codes_and_logits(tokenizer, images):
    ids = tokenizer.encode(images)
    unmasked = tokenizer.decode_codes(ids, GREEDY, seeded())
    hard = tokenizer.pixel_decoder.decode_codes(unmasked.ids).clamp(0, 1)
    soft = tokenizer.pixel_decoder.decode_soft(unmasked.logits).clamp(0, 1)
    assert hard.shape == images.shape
    for lookup, expected in (("hard", hard), ("soft", soft)):
        decoding = GREEDY.model_copy(update={"final_lookup": lookup})
        assert torch.equal(tokenizer.decode(ids, decoding, seeded()), expected)
        assert torch.equal(tokenizer.reconstruct(images, decoding, seeded()), expected)


def test_decoding_by_default_is_that_of_the_tokenizer_with_a_fresh_generator(tokenizer, images):
    ids = tokenizer.encode(images)
    assert tokenizer.decoding == DecodingConfig(steps=8)
    default = tokenizer.decode(ids, DecodingConfig(), seeded(0))
    assert torch.equal(tokenizer.decode(ids), default)
    assert torch.equal(tokenizer.decode(ids, steps=8), default)
    assert torch.equal(tokenizer.reconstruct(images, steps=8), default)
    with pytest.raises(ConfigError, match="steps = 0"):
        tokenizer.decode(ids, steps=0)
    two_steps = GREEDY.model_copy(update={"steps": 2})
    assert torch.equal(tokenizer.decode(ids, GREEDY, steps=2), tokenizer.decode(ids, two_steps))
    softly = two_steps.model_copy(update={"final_lookup": "soft"})
    tokenizer.decoding = softly.model_copy(update={"steps": 4})
    assert torch.equal(tokenizer.decode(ids, steps=2), tokenizer.decode(ids, softly))


def test_a_seed_fixes_noisy_decoding(tokenizer, images):
    ids, noisy = tokenizer.encode(images), DecodingConfig(steps=4, temperature=4.0)
    first, same, other = (tokenizer.decode_codes(ids, noisy, seeded(seed)).ids for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_seed_fixes_the_weights(config):
    one, same, other = (SFTok.from_config(config, seeded(seed)).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["encoder.queries"], other["encoder.queries"])
    assert not torch.equal(one["encoder.queries"], one["encoder.query_positions"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_training_step_reaches_every_part(tokenizer, images, dtype):
    targets = torch.randint(24, (5, 16), generator=seeded())
    mask = sample_mask((5, 16), "arccos", seeded())
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        quantized = tokenizer.train().quantizer(tokenizer.encoder(images))
        logits = tokenizer.decoder(targets.masked_fill(mask, 24), quantized.quantized)
        pixels = tokenizer.pixel_decoder.decode_soft(logits)
        loss = masked_cross_entropy(logits, targets, mask) + quantized.loss
    assert (logits.dtype, loss.dtype) == (dtype, torch.float32)
    (loss + (pixels.float() - images).square().mean()).backward()
    for name, parameter in tokenizer.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


MISFITS = [
    ({"image_size": 18, "encoder": {"name": "vit", "patch_size": 9}}, "image_size 18 is not a multiple of 4"),
    ({"encoder": {"name": "vit", "patch_size": 3}}, "patch_size 3 does not divide image_size 16"),
    ({"num_latent_tokens": 17}, "17 latent tokens for 16 teacher codes"),
    ({"quantizer": "optvg"}, "did you mean 'optvq'"),
]


@pytest.mark.parametrize(("change", "message"), MISFITS)
def test_parts_that_do_not_fit_are_refused(config, change, message):
    with pytest.raises(ConfigError, match=message):
        SFTokConfig.build(config.model_dump() | change)


def test_every_part_is_chosen_by_its_configuration(config, images):
    changes = {"quantizer": {"name": "vq", "codebook_size": 12}}
    chosen = SFTok.from_config(SFTokConfig.build(config.model_dump() | changes)).eval()
    assert isinstance(chosen.quantizer, VQ)
    assert chosen.encode(images).max() < 12
    assert SFTok.from_record(chosen.record).record == chosen.record
