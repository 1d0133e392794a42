from __future__ import annotations

import threading
import time

import pytest
import torch

from sftok.evaluation.workers import in_order

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2, 3])
def count(request, threads):
    torch.set_num_threads(request.param)
    return request.param


def test_results_come_in_order_and_each_worker_has_one_thread_and_no_gradients(count):
    def observe(item: int) -> tuple[int, int, bool, str]:
        time.sleep(0.03 if item == 0 else 0.01)  # the first finishes last
        mode = torch.get_num_threads(), torch.is_inference_mode_enabled()
        return item * item, *mode, threading.current_thread().name

    seen = list(in_order(observe, range(20), CPU))
    assert [found[:3] for found in seen] == [(item * item, 1, True) for item in range(20)]
    assert len({found[3] for found in seen}) <= count
    assert torch.get_num_threads() == count


def test_items_are_read_only_a_little_ahead(count):
    read = []

    def items():
        for item in range(100):
            read.append(item)
            yield item

    results = in_order(lambda item: item, items(), CPU)
    next(results)
    assert len(read) <= 2 * count
    results.close()
    assert torch.get_num_threads() == count


def test_an_error_reaches_the_caller(count):
    def fail(item: int) -> int:
        if item == 3:
            raise ValueError("item three")
        return item

    with pytest.raises(ValueError, match="item three"):
        list(in_order(fail, range(10), CPU))
    assert torch.get_num_threads() == count
