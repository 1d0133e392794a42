"""Self-forcing: visible positions show the decoder's own first prediction (SFVR, Section 3.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from sftok.device import to_device
from sftok.training.contexts.base import Context, ContextConfig
from sftok.training.stages.base import Step


class PredictionConfig(ContextConfig, name="prediction"):
    """The most likely codes of the fully masked pass, mixed with the teacher's codes."""

    replacement_ratio: float = Field(default=1.0, ge=0, le=1)
    """Probability that a visible position shows the prediction: 1 is SFVR, 0 is vanilla training."""

    @property
    def predicts(self) -> bool:
        """Whether any visible position shows a prediction."""
        return self.replacement_ratio > 0

    def build(self) -> Context:
        """Build the context."""
        return Prediction(self.replacement_ratio)


@dataclass(frozen=True)
class Prediction:
    """Shows the first prediction with probability `replacement_ratio`, otherwise the teacher's code."""

    replacement_ratio: float

    def __call__(self, codes: Tensor, first_logits: Callable[[], Tensor], step: Step) -> Tensor:
        """Return codes `[B, N]`; see `Context`."""
        if self.replacement_ratio == 0:
            return codes
        replaced = to_device(step.uniform(codes.shape), codes.device) < self.replacement_ratio
        return torch.where(replaced, first_logits().argmax(-1), codes)
