"""Iterative unmasking: the loop in which both the decoder and MaskGIT predict codes (Section 3.2).

All codes start masked. Each step predicts every masked code, keeps the most confident predictions and masks
the rest again, fewer each time. As in the release, confidence is the chosen logit plus Gumbel noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sftok.decoding.schedule import DecodingConfig, masked_counts

Predict = Callable[[Tensor, int], Tensor]
"""Maps ids `[B, N]`, masked ones included, and the step (from 0) to logits `[B, N, V]`."""

OnStep = Callable[[int, Tensor, Tensor, Tensor], None]
"""Observes `(step, ids_before, logits, ids_after)` and must not change them."""


@dataclass(frozen=True)
class Unmasked:
    """The result of iterative unmasking.

    Attributes:
        ids: int64 `[B, N]`, none masked.
        logits: `[B, N, V]` of the last step.
    """

    ids: Tensor
    logits: Tensor


@torch.no_grad()
def iterative_unmask(
    predict: Predict,
    batch_size: int,
    length: int,
    mask_id: int,
    config: DecodingConfig,
    generator: torch.Generator,
    on_step: OnStep | None = None,
) -> Unmasked:
    """Predict `length` codes for each of `batch_size` samples in `config.steps` steps.

    Args:
        predict: the model, called once per step.
        batch_size: B.
        length: N.
        mask_id: the id of a masked code.
        config: steps, temperature and schedule.
        generator: source of the Gumbel noise, unused at temperature 0; the ids are on its device.
        on_step: called after each step.
    """
    ids = torch.full((batch_size, length), mask_id, device=generator.device)
    for step, keep_masked in enumerate(masked_counts(config.schedule, config.steps, length)):
        logits = predict(ids, step)
        temperature = config.temperature * (1 - (step + 1) / config.steps)
        before, ids = ids, _reveal(ids, logits, mask_id, keep_masked, temperature, generator)
        if on_step is not None:
            on_step(step, before, logits, ids)
    return Unmasked(ids=ids, logits=logits)


def _reveal(
    ids: Tensor,
    logits: Tensor,
    mask_id: int,
    keep_masked: int,
    temperature: float,
    generator: torch.Generator,
) -> Tensor:
    """Fill the masked positions, then mask the `keep_masked` least confident ones again."""
    scores = logits.float()
    masked = ids == mask_id
    chosen = add_gumbel(scores, temperature, generator).argmax(-1)
    confidence = scores.gather(-1, chosen.unsqueeze(-1)).squeeze(-1).masked_fill(~masked, torch.inf)
    confidence = add_gumbel(confidence, temperature, generator)
    filled = torch.where(masked, chosen, ids)
    # By rank, because a threshold would mask too many at equal confidences, which are common in bfloat16.
    least_confident = confidence.argsort(dim=1, stable=True)[:, :keep_masked]
    return filled.scatter(1, least_confident, mask_id)


def add_gumbel(scores: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """Scores with Gumbel noise; the largest of logits is then a draw from their softmax at `temperature`."""
    if temperature == 0:
        return scores
    exponential = torch.empty_like(scores).exponential_(generator=generator)
    return scores - temperature * exponential.clamp_min(torch.finfo(scores.dtype).tiny).log()
