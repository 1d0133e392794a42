"""Drawing ids one at a time from logits: temperature, top-k and top-p, in this order, as LlamaGen does."""

from __future__ import annotations

import torch
from torch import Tensor

from sftok.decoding.cumulative import cumulative
from sftok.decoding.guidance import GenerationConfig
from sftok.decoding.unmask import add_gumbel


def draw_ids(logits: Tensor, config: GenerationConfig, generator: torch.Generator) -> Tensor:
    """Draw an id from each row of logits, float32 `[B, V]` to int64 `[B]`; temperature 0 draws nothing."""
    if config.temperature == 0:
        return logits.argmax(-1)
    return add_gumbel(filtered(logits, config), 1.0, generator).argmax(-1)


def filtered(logits: Tensor, config: GenerationConfig) -> Tensor:
    """Divide logits `[B, V]` by the temperature, and set those of ids that are never drawn to -inf.

    Ids that tie with the k-th of `top_k` are kept, and so is the id that reaches `top_p`.
    """
    logits = logits / config.temperature
    if config.top_k:
        kth = logits.topk(min(config.top_k, logits.shape[-1])).values[:, -1:]
        logits = logits.masked_fill(logits < kth, -torch.inf)
    if config.top_p < 1:
        ordered, order = logits.sort(descending=True, stable=True)
        probabilities = ordered.softmax(-1)
        # Total probability of the more likely ids; 0 for the first, which is always kept.
        before = cumulative(probabilities).roll(1, -1)
        before[:, 0] = 0
        logits = logits.masked_fill((before > config.top_p).gather(-1, order.argsort(-1)), -torch.inf)
    return logits
