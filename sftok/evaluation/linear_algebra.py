"""Linear algebra whose bits do not depend on how many cores a process may use.

Torch's number of threads is fixed by whoever runs it; that of NumPy's and SciPy's BLAS is the number of cores
that the process sees, and another number sums in another order: FID then differs in the ninth digit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from threadpoolctl import threadpool_limits

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def reproducible(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """`function` on a single thread of BLAS."""
    limited: Callable[_Arguments, _Result] = threadpool_limits.wrap(limits=1, user_api="blas")(function)
    return limited
