"""Cumulative probabilities that are deterministic on every device."""

from __future__ import annotations

from torch import Tensor

_UNIT = 2.0**40
"""Small enough for the sum of a million rounded probabilities to be exact to 6 digits."""


def cumulative(probabilities: Tensor) -> Tensor:
    """`probabilities.cumsum(-1)`, up to rounding on a GPU.

    Real numbers that a GPU adds in parallel depend on the order. Its deterministic replacement in PyTorch
    takes memory for the square of the length, which a large vocabulary cannot have.
    """
    return (
        probabilities.cumsum(-1) if probabilities.device.type == "cpu" else cumulative_exactly(probabilities)
    )


def cumulative_exactly(probabilities: Tensor) -> Tensor:
    """As `cumulative`, always by adding integers, whose order does not matter."""
    units = (probabilities.float() * _UNIT).long()
    return (units.cumsum(-1).double() / _UNIT).to(probabilities.dtype)
