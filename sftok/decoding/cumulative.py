"""Cumulative probabilities that are deterministic on every device."""

from __future__ import annotations

from torch import Tensor

_UNIT = 2.0**40
"""Small enough that the sum of a million rounded probabilities is exact to 6 digits."""


def cumulative(probabilities: Tensor) -> Tensor:
    """Compute `probabilities.cumsum(-1)`, up to rounding on a GPU.

    A GPU adds real numbers in parallel, so their sum depends on the order. PyTorch's deterministic
    replacement needs memory quadratic in the length, which is too much for a large vocabulary.
    """
    return (
        probabilities.cumsum(-1) if probabilities.device.type == "cpu" else cumulative_exactly(probabilities)
    )


def cumulative_exactly(probabilities: Tensor) -> Tensor:
    """Like `cumulative`, but always adds integers, for which the order does not matter."""
    units = (probabilities.float() * _UNIT).long()
    return (units.cumsum(-1).double() / _UNIT).to(probabilities.dtype)
