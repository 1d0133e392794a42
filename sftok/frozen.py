"""Models that training uses but does not change: the encoder in stage 3, networks under losses."""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn


class Frozen:
    """Holds a module in evaluation mode outside the module tree: no gradients, checkpointing or averaging."""

    def __init__(self, module: nn.Module):
        self.module = module.eval().requires_grad_(False)

    def on(self, device: torch.device) -> Any:
        """The module, moved to `device` if necessary, because moving a stage does not move it."""
        # Buffers are included because FSQ and residual quantization have no parameters.
        tensor = next(chain(self.module.parameters(), self.module.buffers()), None)
        if tensor is not None and tensor.device != device:
            self.module.to(device)
        return self.module

    def __call__(self, first: Tensor, *others: Any, **options: Any) -> Any:
        """Call the module on the device of its first input; gradients flow through it to the inputs."""
        return self.on(first.device)(first, *others, **options)
