"""The harness's own time an artifact: locks, files, provenance, and handing work out; nothing is computed.

`nox -s benchmarks -- -k executor` prints seconds for all artifacts of a request, and milliseconds an
artifact, which are to stay below 50.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from making import artifact, make_request
from pytest_benchmark.fixture import BenchmarkFixture

from experiments.executors.inline import Runner
from experiments.executors.slurm import grouped
from experiments.executors.stop import Stop
from experiments.executors.work import Work
from experiments.executors.worker import work_through
from experiments.store import Store
from sftok.data.base import ImageSet

COUNT = 100
TOP = artifact("teacher", label="top")
MANY = [TOP, *(artifact("stage", inputs={"teacher": TOP}, label=str(number)) for number in range(COUNT - 1))]


def measure(
    benchmark: BenchmarkFixture, folder: Path, carry_out: Callable[[Store], object], made: int = COUNT
) -> None:
    numbers, busy = itertools.count(), []

    def fresh_store() -> tuple[tuple[Store], dict[str, Any]]:
        store = Store(folder / str(next(numbers)))
        store.prepare()
        return (store,), {}

    def timed(store: Store) -> None:
        start = time.process_time()
        carry_out(store)
        busy.append(time.process_time() - start)
        # What failed at once would look fast.
        assert sum(store.is_done(each) for each in MANY) == made

    benchmark.pedantic(timed, setup=fresh_store, rounds=3, warmup_rounds=1)
    if benchmark.stats is not None:
        benchmark.extra_info["milliseconds_an_artifact"] = 1000 * benchmark.stats.stats.median / COUNT
        benchmark.extra_info["cpu_milliseconds_an_artifact"] = 1000 * statistics.median(busy) / COUNT


def no_data(split: str) -> ImageSet:
    raise AssertionError("nothing here reads images")


def read_request(folder: Path) -> Work:
    make_request(*MANY).write(folder / "request.json")
    return Work(folder / "request.json")


def test_inline(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    measure(benchmark, tmp_path, lambda store: Runner(store, no_data).run(MANY))


def test_a_local_worker(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    work = read_request(tmp_path)
    measure(benchmark, tmp_path, lambda store: work_through(work, store, Stop()))


def test_grouping_the_jobs_and_reading_the_request_in_one(
    benchmark: BenchmarkFixture, tmp_path: Path
) -> None:
    measure(benchmark, tmp_path, lambda store: (grouped(MANY, 1000), read_request(store.root)), made=0)
