"""Linear algebra whose results do not depend, bit for bit, on the number of available cores.

The caller sets torch's number of threads. NumPy's and SciPy's BLAS use one thread per visible core, which
affects the order of summation: FID then differs in the ninth digit.
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
"""Rows converted to float64 at once; ImageNet's training features take 21 GB, and again when centered."""


def reproducible(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Decorate `function` to run BLAS on a single thread."""
    limited: Callable[_Arguments, _Result] = threadpool_limits.wrap(limits=1, user_api="blas")(function)
    return limited


@reproducible
def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean `[F]` and covariance `[F, F]` of features `[N, F]`, in parts and float64, as in torch-fidelity."""
    parts = features.split(_ROWS_AT_ONCE)
    mean = np.sum([part.double().numpy().sum(axis=0) for part in parts], axis=0) / len(features)
    covariance = np.zeros((features.shape[1], features.shape[1]))
    for part in parts:
        centered = part.double().numpy() - mean
        covariance += centered.T @ centered
    return torch.from_numpy(mean), torch.from_numpy(covariance / (len(features) - 1))
