"""Class-conditional generation: labels to token ids to images (Section 3.3, "Image Generation").

```
labels [B] -> MaskGITGenerator, T steps from all masked -> ids [B,K] -> the tokenizer's decoder -> images
```
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sftok.decoding.guidance import GenerationConfig, guided
from sftok.decoding.unmask import OnStep, iterative_unmask
from sftok.models.generator import MaskGITGenerator

DecodeIds = Callable[[Tensor, torch.Generator], Tensor]
"""Ids `[B, K]` and the source of decoding noise to images `[B, 3, H, W]` in [0, 1]: a tokenizer's decoder."""


@dataclass(frozen=True)
class Generated:
    """The images generated for a batch of labels.

    Attributes:
        ids: int64 `[B, K]`.
        images: float32 `[B, 3, H, W]` in [0, 1].
    """

    ids: Tensor
    images: Tensor


@torch.no_grad()
def generate(
    model: MaskGITGenerator,
    decode_ids: DecodeIds,
    labels: Tensor,
    config: GenerationConfig,
    generator: torch.Generator,
) -> Generated:
    """Sample an image for each label.

    Args:
        model: of the ids of the tokenizer behind `decode_ids`.
        decode_ids: ids to images; it draws after the ids, from the same generator.
        labels: int64 `[B]`; `model.null_class` samples without a class.
        config: steps, temperature, guidance.
        generator: source of every draw; its device is the model's.
    """
    ids = generate_ids(model, labels, config, generator)
    return Generated(ids=ids, images=decode_ids(ids, generator))


@torch.no_grad()
def generate_ids(
    model: MaskGITGenerator,
    labels: Tensor,
    config: GenerationConfig,
    generator: torch.Generator,
    on_step: OnStep | None = None,
) -> Tensor:
    """Sample the ids, int64 `[B, K]`, of an image for each label; the arguments are those of `generate`."""
    return iterative_unmask(
        guided(model, labels, model.null_class, config),
        batch_size=len(labels),
        length=model.num_tokens,
        mask_id=model.mask_id,
        config=config.decoding,
        generator=generator,
        on_step=on_step,
    ).ids
