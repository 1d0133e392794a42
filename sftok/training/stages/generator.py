"""Training the MaskGIT generator on a frozen tokenizer's ids (Section 3.3, "Image Generation").

A random part of an image's ids is masked and predicted from the rest and the class. Some classes are replaced
by a learned null class, for classifier-free guidance.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor

from sftok.config import Config
from sftok.data.batches import Batch
from sftok.decoding.schedule import MaskSchedule, sample_mask
from sftok.losses.masked_cross_entropy import masked_cross_entropy
from sftok.models.generator import MaskGITGenerator
from sftok.training.stages.base import Losses, Stage, Step

TokenIds = Callable[[Batch], Tensor]
"""The tokenizer's ids, int64 `[B, K]`, of a batch: cached (`sftok.data.tokens.TokenCache`) or computed."""


class GeneratorLossConfig(Config):
    """The generator's loss; the defaults are the release's, because the paper only says "as MaskGIT"."""

    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    unmasked_weight: float = Field(default=0.1, ge=0)
    """Weight of the loss at visible positions."""
    class_drop: float = Field(default=0.1, ge=0, le=1)
    """Probability that an image's class is replaced by the null class."""
    mask_schedule: MaskSchedule = "arccos"


class GeneratorStage(Stage):
    """The generator learns the tokenizer's ids; it reads labels and indices of a batch, but no pixels."""

    trained: MaskGITGenerator

    def __init__(self, model: MaskGITGenerator, token_ids: TokenIds, config: GeneratorLossConfig):
        super().__init__()
        self.trained = model
        self.token_ids = token_ids
        self.config = config

    def losses(self, optimizer: str, step: Step) -> Losses:
        """Masked cross-entropy, and the accuracy at masked ids."""
        model, ids = self.trained, self.token_ids(step.batch)
        shape = (step.world.size * len(ids), ids.shape[1])
        drawn = sample_mask(shape, self.config.mask_schedule, step.generator)
        masked = step.world.share(drawn).to(ids.device)
        labels = self.drop_classes(step.batch.labels.to(ids.device), step)
        logits = model(ids.masked_fill(masked, model.mask_id), labels, _dropout_noise(step, ids.device))
        loss = masked_cross_entropy(
            logits,
            ids,
            masked,
            unmasked_weight=self.config.unmasked_weight,
            label_smoothing=self.config.label_smoothing,
            world=step.world,
        )
        with torch.no_grad():
            # In float32: on a CPU, the argmax of bfloat16 is ten times slower.
            hits = (logits.float().argmax(-1) == ids) & masked
            accuracy = hits.sum() / step.world.mean(masked.sum().float())
        return {"loss": loss, "masked_accuracy": accuracy}

    def drop_classes(self, labels: Tensor, step: Step) -> Tensor:
        """Labels int64 `[B]`, each replaced by the null class with probability `class_drop`."""
        dropped = step.uniform(labels.shape).to(labels.device) < self.config.class_drop
        return labels.masked_fill(dropped, self.trained.null_class)


def _dropout_noise(step: Step, device: torch.device) -> torch.Generator:
    """This process's source of dropout, the only draws that depend on the number of processes."""
    seeds = torch.randint(2**63 - 1, (step.world.size,), generator=step.generator)
    return torch.Generator(device).manual_seed(int(seeds[step.world.rank]))
