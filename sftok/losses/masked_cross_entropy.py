"""Cross-entropy on the teacher's codes, with more weight at masked positions (Section 3.1, Table 6)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from sftok.distributed import SINGLE, World


def masked_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    mask: Tensor,
    unmasked_weight: float = 0.1,
    label_smoothing: float = 0.0,
    world: World = SINGLE,
) -> Tensor:
    """Compute a weighted mean over positions: weight 1 for masked codes, otherwise `unmasked_weight`.

    Args:
        logits: `[B, N, V]`, any float type; the loss is computed in float32.
        targets: int64 `[B, N]`, the teacher's codes.
        mask: bool `[B, N]`, True where the code was masked.
        unmasked_weight: weight of visible positions.
        label_smoothing: probability spread evenly over the vocabulary.
        world: the processes that share the batch.

    Returns:
        A float32 scalar in nats, normalized by the sum of weights; 0 if all weights are 0. Every process
        normalizes by the mean of the processes' sums, so the mean over processes is the loss of the whole
        batch.
    """
    with torch.autocast(logits.device.type, enabled=False):
        losses = F.cross_entropy(
            rearrange(logits, "b n v -> (b n) v").float(),
            rearrange(targets, "b n -> (b n)"),
            reduction="none",
            label_smoothing=label_smoothing,
        )
        weights = rearrange(mask, "b n -> (b n)").to(losses.dtype)
        weights = weights + (1 - weights) * unmasked_weight
        return (losses * weights).sum() / world.mean(weights.sum()).clamp_min(1e-8)
