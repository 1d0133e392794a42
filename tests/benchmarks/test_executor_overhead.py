"""The harness's own time an artifact: locks, files, provenance, and handing work out; makers do nothing.

`nox -s benchmarks -- -k executor` prints seconds for all artifacts of a plan, and milliseconds an artifact,
which are to stay below 50.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

from experiments.artifacts import Artifact, artifact
from experiments.executors.inline import Runner
from experiments.executors.slurm import grouped
from experiments.executors.stop import Stop
from experiments.executors.work import Work
from experiments.executors.worker import work_through
from experiments.paper import table4
from experiments.planning.plan import Plan, plan
from experiments.planning.requests import Request
from experiments.profiles import PROFILES
from experiments.store import Store
from experiments.tasks.base import Maker, Task
from sftok.data.base import ImageSet

COUNT = 100


def chosen_maker(kind: str) -> Maker:
    def make(task: Task) -> dict[str, Any]:
        return {}

    return make


def plan_of_many() -> Plan:
    top = artifact("teacher", config={}, label="top")
    rest = [
        artifact("stage", config={"n": n}, inputs={"teacher": top}, label=f"{n}") for n in range(COUNT - 1)
    ]
    return request_of(top, *rest).plan


def request_of(*artifacts: Artifact) -> Request:
    real = plan(table4.EXPERIMENT, PROFILES["smoke"], (0,), {}, {"train": "", "test": ""})
    fields = {"profile": real.profile, "recipe": real.recipe, "experiment": real.experiment, "overrides": {}}
    fake = Plan(seeds=(0,), artifacts=artifacts, rows=(), reference=artifacts[0], **fields)
    return Request(fake, "", "", "2026-01-01T00:00:00+00:00")


def measure(
    benchmark: BenchmarkFixture, folder: Path, carry_out: Callable[[Store], object], made: int = COUNT
) -> None:
    numbers = itertools.count()

    def fresh_store() -> tuple[tuple[Store], dict[str, Any]]:
        store = Store(folder / str(next(numbers)))
        store.prepare()
        return (store,), {}

    busy = []

    def timed(store: Store) -> None:
        start = time.process_time()
        carry_out(store)
        busy.append(time.process_time() - start)
        # What failed at once would look fast.
        assert len(list((store.root / "artifacts").iterdir())) == made

    benchmark.pedantic(timed, setup=fresh_store, rounds=3, warmup_rounds=1)
    if benchmark.stats is not None:
        benchmark.extra_info["milliseconds_an_artifact"] = 1000 * benchmark.stats.stats.median / COUNT
        benchmark.extra_info["cpu_milliseconds_an_artifact"] = 1000 * statistics.median(busy) / COUNT


def no_data(split: str) -> ImageSet:
    raise AssertionError("nothing here reads images")


def test_inline(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    many = plan_of_many().artifacts
    measure(benchmark, tmp_path, lambda store: Runner(store, no_data, find=chosen_maker).run(many))


def test_a_local_worker(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    many = Work(request_of(*plan_of_many().artifacts).content())
    measure(benchmark, tmp_path, lambda store: work_through(many, store, Stop(), chosen_maker))


def test_planning_the_jobs_and_reading_the_request_in_one(
    benchmark: BenchmarkFixture, tmp_path: Path
) -> None:
    many = request_of(*plan_of_many().artifacts)

    def hand_out(store: Store) -> None:
        grouped(many.plan.artifacts, 1000)
        many.write(store.root / "request.json")
        Work.read(store.root / "request.json")

    measure(benchmark, tmp_path, hand_out, made=0)
