"""Runs a function over batches on every core; results come in order and do not depend on the core count.

Each worker is one thread whose torch operations use one core. This is faster than spreading one batch over
all cores: no operation waits for the slowest core, and operations that torch cannot split, such as small
sorts, run in parallel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], device: torch.device
) -> Iterator[Result]:
    """Yield `function(item)` for each of `items`, in order, computed ahead by worker threads.

    On a CPU there is one worker per torch thread, and each uses one torch thread, so that results do not
    depend on their number. A GPU has one worker. `function` runs without gradients.
    """
    threads = torch.get_num_threads()
    workers = threads if device.type == "cpu" else 1
    limit = (lambda: torch.set_num_threads(1)) if device.type == "cpu" else (lambda: None)

    @torch.inference_mode()
    def run(item: Item) -> Result:
        return function(item)

    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, "sftok-evaluation", initializer=limit) as pool:
        limit()
        try:
            for item in items:
                pending.append(pool.submit(run, item))
                # Two items per worker keep all workers busy; more would only use memory.
                if len(pending) >= 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            torch.set_num_threads(threads)
            for future in pending:
                future.cancel()
