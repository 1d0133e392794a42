"""Stages 1 and 2: what is computed, how often, and where."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from sftok.data.batches import Batch
from sftok.decoding.schedule import sample_mask
from sftok.losses.masked_cross_entropy import masked_cross_entropy
from sftok.models.base import Decoder, Encoder
from sftok.models.decoder import ViTDecoderConfig
from sftok.models.encoder import ViTEncoderConfig
from sftok.quantizers.optvq import OptVQ, OptVQConfig
from sftok.training.contexts.prediction import PredictionConfig
from sftok.training.stages.base import Step
from sftok.training.stages.tokenizer import (
    AlignmentConfig,
    AlignmentStage,
    TokenizerLossConfig,
    TokenizerStage,
    WarmUpStage,
)

BATCH = Batch(torch.rand(2, 3, 8, 8), labels=torch.zeros(2).long(), indices=torch.arange(2))
CODES = torch.randint(8, (2, 4), generator=torch.Generator().manual_seed(0))


def counted(stage: TokenizerStage) -> Counter[str]:
    """How often each part runs in one step."""
    calls: Counter[str] = Counter()
    for name, part in stage.trained.named_children():
        part.register_forward_hook(lambda *_, name=name: calls.update([name]))
    stage.train()
    stage.losses("model", Step(0, BATCH, torch.Generator().manual_seed(0)))["loss"].backward()
    return calls


@pytest.fixture
def parts() -> tuple[Encoder, OptVQ, Decoder]:
    shape = {"width": 8, "depth": 1, "heads": 2}
    encoder = ViTEncoderConfig(patch_size=4, **shape).build(8, 2, 4)
    return encoder, OptVQConfig(codebook_size=8).build(4), ViTDecoderConfig(**shape).build(2, 4, 4, 8)


def test_the_warm_up_runs_every_part_once(parts: tuple[Encoder, OptVQ, Decoder]) -> None:
    calls = counted(WarmUpStage(*parts, lambda batch: CODES, TokenizerLossConfig()))
    assert calls == {"encoder": 1, "quantizer": 1, "decoder": 1}


@pytest.mark.parametrize(("ratio", "passes"), [(0.0, 1), (1.0, 2)])
def test_the_alignment_encodes_once_and_decodes_again_for_its_own_prediction(
    parts: tuple[Encoder, OptVQ, Decoder], ratio: float, passes: int
) -> None:
    alignment = AlignmentConfig(context=PredictionConfig(replacement_ratio=ratio))
    calls = counted(AlignmentStage(*parts, lambda batch: CODES, TokenizerLossConfig(), alignment))
    assert calls == {"encoder": 1, "quantizer": 1, "decoder": passes}


def test_the_pass_without_gradient_leaves_the_decoder_its_gradient_under_autocast(
    parts: tuple[Encoder, OptVQ, Decoder],
) -> None:
    # Autocast keeps what it cast; older versions of torch gave the second pass the first one's casts, which
    # have no gradient, and the decoder stood still without a word.
    stage = AlignmentStage(
        *parts,
        lambda batch: CODES,
        TokenizerLossConfig(),
        AlignmentConfig(context=PredictionConfig(replacement_ratio=1.0)),
    )
    stage.train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = stage.losses("model", Step(0, BATCH, torch.Generator().manual_seed(0)))["loss"]
    loss.backward()
    still = [name for name, weights in stage.trained.named_parameters() if weights.grad is None]
    assert still == []


IMAGES, MANY = 32, torch.randint(8, (32, 4), generator=torch.Generator().manual_seed(3))


def seen_by_the_decoder(
    stage: TokenizerStage, seed: int = 5
) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], dict[str, torch.Tensor]]:
    """What each pass was given and gave, and the losses, of a step on `MANY`."""
    images = torch.rand(IMAGES, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    batch = Batch(images, labels=torch.zeros(IMAGES).long(), indices=torch.arange(IMAGES))
    passes: list[tuple[torch.Tensor, torch.Tensor]] = []
    stage.decoder.register_forward_hook(lambda _, given, logits: passes.append((given[0], logits)))
    losses = stage.train().losses("model", Step(0, batch, torch.Generator().manual_seed(seed)))
    return passes, dict(losses)


def test_the_warm_up_shows_nothing(parts: tuple[Encoder, OptVQ, Decoder]) -> None:
    ((shown, _),), _ = seen_by_the_decoder(WarmUpStage(*parts, lambda batch: MANY, TokenizerLossConfig()))
    assert (shown == parts[2].mask_id).all()


@pytest.mark.parametrize("schedule", ["arccos", "square"])
@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
def test_visible_positions_show_the_truth_or_the_first_prediction(
    parts: tuple[Encoder, OptVQ, Decoder], ratio: float, schedule: str
) -> None:
    alignment = AlignmentConfig(context=PredictionConfig(replacement_ratio=ratio), mask_schedule=schedule)
    stage = AlignmentStage(*parts, lambda batch: MANY, TokenizerLossConfig(), alignment)
    passes, _ = seen_by_the_decoder(stage)
    generator = torch.Generator().manual_seed(5)
    masked = sample_mask((IMAGES, 4), schedule, generator)
    shown, _ = passes[-1]
    assert torch.equal(shown == 8, masked)
    if ratio == 0:
        assert torch.equal(shown[~masked], MANY[~masked])
        return
    hidden, first = passes[0]
    assert (hidden == 8).all()
    assert not first.requires_grad
    replaced = torch.rand((IMAGES, 4), generator=generator) < ratio
    assert torch.equal(shown[~masked], torch.where(replaced, first.argmax(-1), MANY)[~masked])
    assert replaced.all() == (ratio == 1)


def test_the_loss_is_that_of_the_masked_codes_and_the_weighted_rest(
    parts: tuple[Encoder, OptVQ, Decoder],
) -> None:
    for weight in parts[2].parameters():  # as initialised, every code is as likely to it
        weight.data.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())))
    weights = TokenizerLossConfig(quantizer_weight=0.3, unmasked_weight=0.25, label_smoothing=0.2)
    stage = AlignmentStage(
        *parts, lambda batch: MANY, weights, AlignmentConfig(context=PredictionConfig(replacement_ratio=0.5))
    )
    passes, losses = seen_by_the_decoder(stage)
    shown, logits = passes[-1]
    masked = shown == 8
    expected = masked_cross_entropy(logits, MANY, masked, unmasked_weight=0.25, label_smoothing=0.2)
    torch.testing.assert_close(losses["reconstruction_loss"], expected)
    torch.testing.assert_close(losses["loss"], expected + 0.3 * losses["quantizer_loss"])
    hits = (logits.argmax(-1) == MANY)[masked]
    assert losses["masked_accuracy"].item() == pytest.approx(hits.float().mean().item())
    assert losses["quantizer_loss"] > 0
