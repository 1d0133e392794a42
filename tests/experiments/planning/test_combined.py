"""`run all` as one plan: each artifact once, and everything that the single plans have."""

from __future__ import annotations

from pathlib import Path

from experiments.planning.combined import combined
from experiments.planning.plan import Plan, plan
from experiments.planning.requests import Request, new_request
from experiments.profiles import PROFILES
from experiments.registry import discover
from experiments.store import Store

DATA = {"train": "a" * 64, "validation": "b" * 64, "test": "c" * 64}


def plans(seeds: tuple[int, ...] = (0,)) -> list[Plan]:
    specs = discover(("experiments.paper", "ablations"))
    return [plan(spec, PROFILES["smoke"], seeds, {}, DATA) for spec in specs.values()]


def test_every_artifact_is_there_once_and_after_its_inputs() -> None:
    single = plans()
    work = combined(single)
    assert set(work.artifacts) == {artifact for each in single for artifact in each.artifacts}
    assert len(work.artifacts) == len(set(work.artifacts))
    seen = set()
    for artifact in work.artifacts:
        assert set(artifact.inputs.values()) <= seen
        seen.add(artifact)


def test_the_rows_are_those_of_the_single_plans() -> None:
    single = plans()
    work = combined(single)
    assert len(work.rows) == sum(len(each.rows) for each in single)
    assert "table1.sftok-b" in {row.row for row in work.rows}
    assert work.recipe_of("table1.titok-b").single_step


def test_sharing_is_counted_over_all_tables() -> None:
    work = combined(plans())
    teacher = next(artifact for artifact in work.artifacts if artifact.label == "teacher")
    assert work.users(teacher) > 10
    assert work.unshared_count > 2 * len(work.artifacts)


def test_workers_can_read_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare()
    work = combined(plans())
    path = new_request(work, ["run", "all"], "some images").save(store)
    assert Request.load(path).plan == work
