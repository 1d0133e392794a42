"""Stages 1 and 2: what is computed, how often, and where."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from sftok.data.batches import Batch
from sftok.models.decoder import Decoder, DecoderConfig
from sftok.models.encoder import Encoder, EncoderConfig
from sftok.quantizers.optvq import OptVQ, OptVQConfig
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
    encoder = EncoderConfig(
        image_size=8, patch_size=4, width=8, depth=1, heads=2, num_latent_tokens=2, token_dim=4
    )
    decoder = DecoderConfig(
        num_latent_tokens=2, token_dim=4, num_codes=4, vocabulary=8, width=8, depth=1, heads=2
    )
    return Encoder(encoder), OptVQ(OptVQConfig(codebook_size=8, token_dim=4)), Decoder(decoder)


def test_the_warm_up_runs_every_part_once(parts: tuple[Encoder, OptVQ, Decoder]) -> None:
    calls = counted(WarmUpStage(*parts, lambda batch: CODES, TokenizerLossConfig()))
    assert calls == {"encoder": 1, "quantizer": 1, "decoder": 1}


@pytest.mark.parametrize(("ratio", "passes"), [(0.0, 1), (1.0, 2)])
def test_the_alignment_encodes_once_and_decodes_again_for_its_own_prediction(
    parts: tuple[Encoder, OptVQ, Decoder], ratio: float, passes: int
) -> None:
    alignment = AlignmentConfig(replacement_ratio=ratio)
    calls = counted(AlignmentStage(*parts, lambda batch: CODES, TokenizerLossConfig(), alignment))
    assert calls == {"encoder": 1, "quantizer": 1, "decoder": passes}


def test_the_pass_without_gradient_leaves_the_decoder_its_gradient_under_autocast(
    parts: tuple[Encoder, OptVQ, Decoder],
) -> None:
    # Autocast keeps what it cast; older versions of torch gave the second pass the first one's casts, which
    # have no gradient, and the decoder stood still without a word.
    stage = AlignmentStage(
        *parts, lambda batch: CODES, TokenizerLossConfig(), AlignmentConfig(replacement_ratio=1.0)
    )
    stage.train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = stage.losses("model", Step(0, BATCH, torch.Generator().manual_seed(0)))["loss"]
    loss.backward()
    still = [name for name, weights in stage.trained.named_parameters() if weights.grad is None]
    assert still == []
