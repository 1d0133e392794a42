"""Class-conditional generation: labels to tokens to images (Section 3.3, "Image Generation").

```
labels [B] -> a generator's sampling -> ids [B,K] or latents [B,N,D] -> the tokenizer's decoder -> images
```
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sftok.decoding.guidance import GenerationConfig
from sftok.generators.base import Generator

DecodeTokens = Callable[[Tensor, torch.Generator], Tensor]
"""Maps ids `[B, K]` or latents `[B, N, D]`, with a source of noise, to images `[B, 3, H, W]` in [0, 1]."""


@dataclass(frozen=True)
class Generated:
    """The images generated for a batch of labels.

    Attributes:
        tokens: int64 `[B, K]`, or latents `[B, N, D]`.
        images: float32 `[B, 3, H, W]` in [0, 1].
    """

    tokens: Tensor
    images: Tensor


@torch.no_grad()
def generate(
    model: Generator,
    decode: DecodeTokens,
    labels: Tensor,
    config: GenerationConfig,
    generator: torch.Generator,
) -> Generated:
    """Sample an image for each label.

    Args:
        model: generates the tokens that `decode` takes.
        decode: maps tokens to images; it draws from the same generator, after the tokens.
        labels: int64 `[B]`; `model.null_class` samples without a class.
        config: steps, temperature, guidance.
        generator: source of every draw; its device is the model's.
    """
    tokens = model.sample(labels, config, generator)
    return Generated(tokens=tokens, images=decode(tokens, generator))
