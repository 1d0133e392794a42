from __future__ import annotations

import pytest
import torch
from small_models import seeded

from sftok.config import ConfigError
from sftok.decoding.schedule import DecodingConfig, sample_mask
from sftok.losses.masked_cross_entropy import masked_cross_entropy
from sftok.models.tokenizer import SIZES, SFTok, SFTokConfig
from sftok.quantizers.vq import VQ, VQConfig

GREEDY = DecodingConfig(steps=4, temperature=0)


def test_ids_are_int64_codes_of_the_codebook(tokenizer, images):
    ids = tokenizer.encode(images)
    assert ids.shape == (5, 4)
    assert ids.dtype == torch.int64
    assert ((ids >= 0) & (ids < 32)).all()


def test_an_images_ids_depend_neither_on_its_batch_nor_on_the_mode(tokenizer, images):
    ids = tokenizer.encode(images)
    assert torch.equal(tokenizer.train().encode(images[3:]), ids[3:])


def test_decode_gives_images(tokenizer, images):
    decoded = tokenizer.decode(tokenizer.encode(images), DecodingConfig(steps=3), seeded())
    assert decoded.shape == images.shape
    assert decoded.min() >= 0
    assert decoded.max() <= 1


def test_ids_that_no_encoder_makes_are_refused(tokenizer, images):
    ids = tokenizer.encode(images)
    for wrong in (ids[:, :1], ids[:, :2], ids[0]):
        with pytest.raises(ValueError, match="this tokenizer has 4 for each image"):
            tokenizer.decode(wrong, GREEDY)
    for wrong in (ids - 32, ids + 32):
        with pytest.raises(ValueError, match="this codebook has 0 to 31"):
            tokenizer.decode(wrong, GREEDY)
    assert tokenizer.decode(ids[:0], GREEDY).shape == images[:0].shape


def test_reconstruct_is_encode_then_decode(tokenizer, images):
    expected = tokenizer.decode(tokenizer.encode(images), GREEDY, seeded())
    assert torch.equal(tokenizer.reconstruct(images, GREEDY, seeded()), expected)


def test_hard_and_soft_lookup_decode_codes_and_logits(tokenizer, images):
    ids = tokenizer.encode(images)
    unmasked = tokenizer.decode_codes(ids, GREEDY, seeded())
    hard = tokenizer.pixel_decoder.decode_codes(unmasked.ids).clamp(0, 1)
    soft = tokenizer.pixel_decoder.decode_soft(unmasked.logits).clamp(0, 1)
    assert torch.equal(tokenizer.decode(ids, GREEDY, seeded()), hard)
    softly = GREEDY.model_copy(update={"final_lookup": "soft"})
    assert torch.equal(tokenizer.decode(ids, softly, seeded()), soft)


def test_decoding_by_default_is_that_of_the_tokenizer_with_a_fresh_generator(tokenizer, images):
    ids = tokenizer.encode(images)
    assert tokenizer.decoding == DecodingConfig(steps=8)
    default = tokenizer.decode(ids, DecodingConfig(), seeded(0))
    assert torch.equal(tokenizer.decode(ids), default)
    assert torch.equal(tokenizer.decode(ids, steps=8), default)
    assert torch.equal(tokenizer.reconstruct(images, steps=8), default)
    tokenizer.decoding = GREEDY.model_copy(update={"final_lookup": "soft"})
    softly = DecodingConfig(steps=2, temperature=0, final_lookup="soft")
    assert torch.equal(tokenizer.decode(ids, steps=2), tokenizer.decode(ids, softly))
    assert torch.equal(
        tokenizer.decode(ids, GREEDY, steps=2), tokenizer.decode(ids, DecodingConfig(steps=2, temperature=0))
    )


def test_steps_out_of_range_are_refused(tokenizer, images):
    with pytest.raises(ConfigError, match="steps = 0"):
        tokenizer.decode(tokenizer.encode(images), steps=0)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5])
def test_ids_are_the_same_in_batches_of_any_size(tokenizer, images, batch_size):
    whole = tokenizer.encode(images)
    assert torch.equal(torch.cat([tokenizer.encode(part) for part in images.split(batch_size)]), whole)


def test_a_seed_fixes_noisy_decoding(tokenizer, images):
    ids, noisy = tokenizer.encode(images), DecodingConfig(steps=4, temperature=4.0)
    first = tokenizer.decode_codes(ids, noisy, seeded(1)).ids
    assert torch.equal(tokenizer.decode_codes(ids, noisy, seeded(1)).ids, first)
    assert not torch.equal(tokenizer.decode_codes(ids, noisy, seeded(2)).ids, first)


def test_a_seed_fixes_the_weights(config):
    one, same = (SFTok.from_config(config, seeded(3)).state_dict() for _ in range(2))
    other = SFTok.from_config(config, seeded(4)).state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["encoder.queries"], other["encoder.queries"])
    assert not torch.equal(one["encoder.queries"], one["encoder.query_positions"])


def test_another_quantizer_can_be_injected(tokenizer, images):
    vq = VQConfig(codebook_size=12).build(8)
    other = SFTok(tokenizer.encoder, vq, tokenizer.decoder, tokenizer.pixel_decoder)
    assert other.encode(images).max() < 12
    assert other.reconstruct(images, GREEDY, seeded()).shape == images.shape


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_training_step_reaches_every_part(tokenizer, images, dtype):
    tokenizer.train()
    targets = torch.randint(24, (5, 16), generator=seeded())
    mask = sample_mask((5, 16), "arccos", seeded())
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        quantized = tokenizer.quantizer(tokenizer.encoder(images))
        logits = tokenizer.decoder(targets.masked_fill(mask, 24), quantized.quantized)
        pixels = tokenizer.pixel_decoder.decode_soft(logits)
        loss = masked_cross_entropy(logits, targets, mask) + quantized.loss
        total = loss + (pixels.float() - images).square().mean()
    assert logits.dtype == dtype
    assert loss.dtype == torch.float32
    total.backward()
    for name, parameter in tokenizer.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


MISFITS = [
    (
        {"image_size": 18, "encoder": {"name": "vit", "patch_size": 9}},
        "image_size 18 is not a multiple of 4",
    ),
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


def test_the_papers_sizes():
    base, large = SIZES["sftok-b"], SIZES["sftok-l"]
    assert base.encoder == large.encoder
    assert base.model_copy(update={"decoder": large.decoder}) == large
    assert (base.num_latent_tokens, base.token_dim, base.quantizer.codebook_size) == (64, 32, 8192)
    assert (large.decoder.width, large.decoder.depth, large.decoder.heads) == (1024, 24, 16)
