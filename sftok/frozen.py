"""Models that training uses but never changes: the encoder in stage 3, networks of perceptual losses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Frozen:
    """Holds a module in evaluation mode outside the module tree: no gradients, no checkpoint, no average."""

    def __init__(self, module: nn.Module):
        self.module = module.eval().requires_grad_(False)

    def on(self, device: torch.device) -> Any:
        """The module, brought to `device` if it is elsewhere: whoever moves a stage does not see it."""
        parameter = next(self.module.parameters(), None)
        if parameter is not None and parameter.device != device:
            self.module.to(device)
        return self.module

    def __call__(self, first: Tensor, *others: Any, **options: Any) -> Any:
        """Whatever the module says of its inputs, where the first is; gradients flow through it to them."""
        return self.on(first.device)(first, *others, **options)
