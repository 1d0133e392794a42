from __future__ import annotations

import pytest
import torch
from batches import reference
from small_models import draw
from threadpoolctl import threadpool_info, threadpool_limits
from torch_fidelity.metric_fid import fid_features_to_statistics

from sftok.metrics import linear_algebra
from sftok.metrics.base import Features
from sftok.metrics.fid import frechet_distance
from sftok.metrics.linear_algebra import reproducible


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_a_function_sees_one_thread_and_leaves_the_others_as_they_were() -> None:
    @reproducible
    def fail() -> None:
        raise ValueError("on purpose")

    with threadpool_limits(2, user_api="blas"):
        assert reproducible(blas_threads)() == {1}
        assert blas_threads() == {2}
        with pytest.raises(ValueError, match="on purpose"):
            fail()
        assert blas_threads() == {2}


def test_the_bits_of_fid_do_not_depend_on_the_cores() -> None:
    first, second = draw(900, 320), draw(900, 320, seed=1)
    found = set()
    for threads in (1, 2, 4):
        with threadpool_limits(threads, user_api="blas"):
            found.add(frechet_distance(second, reference(Features(first))))
    assert len(found) == 1


@pytest.mark.parametrize("at_once", [3, 10, 64])
def test_moments_are_torch_fidelitys_for_any_size_of_parts(at_once, monkeypatch):
    monkeypatch.setattr(linear_algebra, "_ROWS_AT_ONCE", at_once)
    features = draw(20, 5) + 100
    mean, covariance = linear_algebra.moments(features)
    expected = fid_features_to_statistics(features.double())
    torch.testing.assert_close(mean, torch.from_numpy(expected["mu"]), rtol=1e-13, atol=0)
    torch.testing.assert_close(covariance, torch.from_numpy(expected["sigma"]), rtol=1e-10, atol=1e-10)
