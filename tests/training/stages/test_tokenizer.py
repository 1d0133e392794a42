"""Stages 1 and 2: what is computed, how often, and what the decoder sees."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import small_models
import torch
from small_models import seeded
from small_training import batch_of, tokenizer_stage

from sftok.decoding.schedule import sample_mask
from sftok.losses.masked_cross_entropy import masked_cross_entropy
from sftok.training.contexts.prediction import PredictionConfig
from sftok.training.stages.base import Losses, Step
from sftok.training.stages.tokenizer import AlignmentConfig, AlignmentStage, TokenizerStage, WarmUpStage

IMAGES, POSITIONS, MASK = 32, 16, 8
CODES = torch.randint(MASK, (IMAGES, POSITIONS), generator=seeded(3))


def stage_of(kind: Any, *more: Any, **weights: float) -> TokenizerStage:
    model = small_models.smaller_sftok_config()
    return tokenizer_stage(kind, lambda batch: CODES, *more, model=model, **weights)


def alignment(ratio: float = 1.0, schedule: str = "arccos", **weights: float) -> TokenizerStage:
    context = PredictionConfig(replacement_ratio=ratio)
    return stage_of(AlignmentStage, AlignmentConfig(context=context, mask_schedule=schedule), **weights)


def losses_of(stage: TokenizerStage) -> Losses:
    images = torch.rand(IMAGES, 3, 8, 8, generator=seeded(4))
    return stage.losses("model", Step(0, batch_of(images), seeded(5)))


def seen_by_the_decoder(stage: TokenizerStage) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Filled with the codes and logits of each pass once the losses are computed."""
    passes: list[tuple[torch.Tensor, torch.Tensor]] = []
    stage.decoder.register_forward_hook(lambda _, given, logits: passes.append((given[0], logits)))
    return passes


@pytest.mark.parametrize(
    ("stage", "passes"), [(stage_of(WarmUpStage), 1), (alignment(0.0), 1), (alignment(1.0), 2)]
)
def test_a_step_encodes_once_and_decodes_again_only_for_a_prediction(
    stage: TokenizerStage, passes: int
) -> None:
    calls: Counter[str] = Counter()
    for name, part in stage.trained.named_children():
        part.register_forward_hook(lambda *_, name=name: calls.update([name]))
    seen = seen_by_the_decoder(stage)
    losses_of(stage)["loss"].backward()
    assert calls == {"encoder": 1, "quantizer": 1, "decoder": passes}
    if isinstance(stage, WarmUpStage):
        assert (seen[0][0] == MASK).all()


def test_the_pass_without_gradient_leaves_the_decoder_its_gradient_under_autocast() -> None:
    # Autocast caches casts; older versions of PyTorch reused those of the first pass, which have no gradient,
    # in the second, and the decoder silently did not learn.
    stage = alignment()
    with torch.autocast("cpu", torch.bfloat16):
        loss = losses_of(stage)["loss"]
    loss.backward()
    assert [name for name, weights in stage.trained.named_parameters() if weights.grad is None] == []


@pytest.mark.parametrize("schedule", ["arccos", "square"])
@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
def test_visible_positions_show_the_truth_or_the_first_prediction(ratio: float, schedule: str) -> None:
    stage, draws = alignment(ratio, schedule), seeded(5)
    passes = seen_by_the_decoder(stage)
    losses_of(stage)
    masked = sample_mask((IMAGES, POSITIONS), schedule, draws)
    shown, _ = passes[-1]
    assert torch.equal(shown == MASK, masked)
    if ratio == 0:
        assert torch.equal(shown[~masked], CODES[~masked])
        return
    hidden, first = passes[0]
    assert (hidden == MASK).all()
    assert not first.requires_grad
    replaced = torch.rand((IMAGES, POSITIONS), generator=draws) < ratio
    assert torch.equal(shown[~masked], torch.where(replaced, first.argmax(-1), CODES)[~masked])
    assert replaced.all() == (ratio == 1)


def test_the_loss_is_that_of_the_masked_codes_and_the_weighted_rest() -> None:
    stage = alignment(0.5, quantizer_weight=0.3, unmasked_weight=0.25, label_smoothing=0.2)
    small_models.perturbed(stage.decoder, 1.0)
    passes = seen_by_the_decoder(stage)
    losses = losses_of(stage)
    shown, logits = passes[-1]
    masked = shown == MASK
    expected = masked_cross_entropy(logits, CODES, masked, unmasked_weight=0.25, label_smoothing=0.2)
    torch.testing.assert_close(losses["reconstruction_loss"], expected)
    torch.testing.assert_close(losses["loss"], expected + 0.3 * losses["quantizer_loss"])
    hits = (logits.argmax(-1) == CODES)[masked]
    assert losses["masked_accuracy"].item() == pytest.approx(hits.float().mean().item())
    assert losses["quantizer_loss"] > 0
