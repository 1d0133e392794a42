"""Linear algebra whose bits do not depend on how many cores a process may use.

The caller sets torch's number of threads. NumPy's and SciPy's BLAS use as many as the process sees cores, and
the order of summation depends on it: FID then differs in the ninth digit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


_ROWS_AT_ONCE = 2**15
"""Converted to float64 at once: all features of ImageNet's training images take 21 GB, and again centered."""


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean `[F]` and covariance `[F, F]` of features `[N, F]` in float64, as torch-fidelity's, in parts."""
    parts = features.split(_ROWS_AT_ONCE)
    mean = np.sum([part.double().numpy().sum(axis=0) for part in parts], axis=0) / len(features)
    covariance = np.zeros((features.shape[1], features.shape[1]))
    for part in parts:
        centered = part.double().numpy() - mean
        covariance += centered.T @ centered
    return torch.from_numpy(mean), torch.from_numpy(covariance / (len(features) - 1))


def reproducible(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Run `function` with BLAS on a single thread."""
    limited: Callable[_Arguments, _Result] = threadpool_limits.wrap(limits=1, user_api="blas")(function)
    return limited
