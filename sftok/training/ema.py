"""Exponential moving average of a module's weights."""

from __future__ import annotations

import torch
from torch import nn


class WeightAverage:
    """`average = decay * average + (1 - decay) * weights`, with a warm-up of the decay.

    The decay of update t is `min(decay, (1 + t) / (10 + t))`, as in the release; without this warm-up, the
    random initial weights would dominate the average of a short run.
    """

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        self.tensors = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move the average towards `module` after update `step` (counted from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averaged, current = [], []
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                averaged.append(self.tensors[name])
                current.append(tensor)
            else:
                self.tensors[name].copy_(tensor)
        torch._foreach_lerp_(averaged, current, 1.0 - decay)
