"""The entropy loss of lookup-free quantization and LlamaGen, in the two forms of public code.

Each latent has a distribution over all codes. Its entropy should be small, so that the latent is certain of
its code. The entropy of the batch's mean distribution should be large, so that all codes are used.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from sftok.distributed import SINGLE, World

EntropyForm = Literal["added", "clamped"]
"""How the logarithm is kept finite.

added: a latent's entropy is exact, the batch's uses log(p + 1e-5) (Open-MAGVIT2, LlamaGen).
clamped: both use log(max(p, 1e-5)) (MaskBit, vector-quantize-pytorch).
"""

_EPSILON = 1e-5


def code_entropies(
    logits: Tensor, form: EntropyForm = "added", world: World = SINGLE
) -> tuple[Tensor, Tensor]:
    """Compute entropies of the distributions of n latents over V codes, in nats.

    Args:
        logits: `[n, V]`, already divided by the temperature.
        form: how the logarithm is kept finite.
        world: the processes that share the batch.

    Returns:
        The mean entropy of a latent's distribution, and the entropy of the batch's mean distribution.
    """
    probabilities = logits.softmax(1)
    mean = world.mean(probabilities.mean(0))
    if form == "added":
        logarithms, batch = logits.log_softmax(1), (mean + _EPSILON).log()
    else:
        logarithms, batch = probabilities.clamp_min(_EPSILON).log(), mean.clamp_min(_EPSILON).log()
    return -(probabilities * logarithms).sum(1).mean(), -torch.dot(mean, batch)
