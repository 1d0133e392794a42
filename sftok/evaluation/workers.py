"""Running a function over batches on every core, with results in order and the same on any number of cores.

Each worker is one thread whose torch operations use one core. That beats one batch spread over all cores:
no operation waits for the slowest core, and parts that torch cannot split, such as small sorts, run side by
side.
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
    """`function` of each of `items`, in their order, computed ahead by as many workers as torch has threads.

    On a CPU everything runs with one torch thread a worker, so results do not depend on their number. A GPU
    has one worker. `function` runs without gradients.
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
                # Two a worker keep all busy; more would only hold memory.
                if len(pending) >= 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            torch.set_num_threads(threads)
            for future in pending:
                future.cancel()
