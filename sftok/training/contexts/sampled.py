"""Sampled predictions: visible positions show samples of the decoder's first distribution, not its argmax."""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor

from sftok.decoding.cumulative import cumulative
from sftok.device import to_device
from sftok.training.contexts.base import Context, ContextConfig
from sftok.training.stages.base import Step


class SampledConfig(ContextConfig, name="sampled"):
    """Codes drawn from the fully masked pass, mixed with the teacher's codes."""

    replacement_ratio: float = Field(default=1.0, ge=0, le=1)
    """Probability that a visible position shows the sample instead of the teacher's code."""
    temperature: float = Field(default=1.0, gt=0)
    """Temperature of the distribution; towards 0 the sample becomes the argmax."""

    def build(self) -> Context:
        """Build the context."""
        return self._show

    def _show(self, codes: Tensor, first_logits: Callable[[], Tensor], step: Step) -> Tensor:
        """Return codes `[B, N]`; see `Context`."""
        replaced = to_device(step.uniform(codes.shape), codes.device) < self.replacement_ratio
        thresholds = to_device(step.uniform(codes.shape), codes.device).unsqueeze(-1)
        # The number of codes whose cumulative probability is below the threshold is a sample.
        reached = cumulative((first_logits() / self.temperature).softmax(-1))
        drawn = (reached < thresholds).sum(-1).clamp_max(reached.shape[-1] - 1)
        return torch.where(replaced, drawn, codes)
