"""Models that training uses but never changes: the encoder in stage 3, networks of perceptual losses."""

from __future__ import annotations

from typing import Any

from torch import nn


class Frozen:
    """Holds a module in evaluation mode outside the module tree: no gradients, no checkpoint, no average."""

    def __init__(self, module: nn.Module):
        self.module = module.eval().requires_grad_(False)

    def __call__(self, *inputs: Any) -> Any:
        """Whatever the module says of `inputs`; gradients flow through it to them."""
        return self.module(*inputs)
