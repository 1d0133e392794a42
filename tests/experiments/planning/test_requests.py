"""A stored request is the plan that was made, key for key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.paper import table3, table4
from experiments.planning.plan import plan
from experiments.planning.requests import Request, new_request, stored_requests
from experiments.profiles import PROFILES
from experiments.store import Store, StoreError

DATA = {"train": "a" * 64, "test": "c" * 64}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    store.prepare()
    return store


def test_round_trip(store: Store) -> None:
    made = plan(table3.EXPERIMENT, PROFILES["cpu"], (0, 5), {"evaluation.temperature": 0.5}, DATA)
    path = new_request(made, ["run", "table3", "--set", "a=b c"], "some images").save(store)
    loaded = Request.load(path)
    assert loaded.plan == made
    assert [artifact.key for artifact in loaded.plan.artifacts] == [
        artifact.key for artifact in made.artifacts
    ]
    assert loaded.command == "python -m experiments run table3 --set 'a=b c'"
    assert loaded.data == "some images"


def test_the_latest_request_comes_first_and_replaces_an_earlier_one_of_its_kind(store: Store) -> None:
    for experiment, seeds, requested in (
        (table4.EXPERIMENT, (0,), "2026-01-01T00:00:00+00:00"),
        (table3.EXPERIMENT, (0,), "2026-01-03T00:00:00+00:00"),
        (table4.EXPERIMENT, (0, 1), "2026-01-02T00:00:00+00:00"),
    ):
        Request(plan(experiment, PROFILES["cpu"], seeds, {}, DATA), "command", "data", requested).save(store)
    found = [(request.plan.experiment.name, request.plan.seeds) for request in stored_requests(store)]
    assert found == [("table3", (0,)), ("table4", (0, 1))]


@pytest.mark.parametrize(
    ("place", "value"),
    [(("artifacts", 0, "unheard"), 1), (("recipe", "unheard"), 1), (("rows", 0, "evaluation"), "gone")],
)
def test_a_request_of_another_version_is_named(store: Store, place: tuple[Any, ...], value: Any) -> None:
    path = new_request(plan(table4.EXPERIMENT, PROFILES["cpu"], (0,), {}, DATA), [], "data").save(store)
    content = json.loads(path.read_text())
    *way, last = place
    within = content["plan"]
    for step in way:
        within = within[step]
    within[last] = value
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match=r"table4\.cpu\.json: another version .* delete the file"):
        Request.load(path)


def test_a_damaged_request_is_named_and_the_others_go_on(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    new_request(plan(table3.EXPERIMENT, PROFILES["cpu"], (0,), {}, DATA), [], "data").save(store)
    (store.root / "requests" / "table4.cpu.json").write_text("{half")
    assert [request.plan.experiment.name for request in stored_requests(store)] == ["table3"]
    (line,) = [record.getMessage() for record in caplog.records]
    assert "left out" in line
    assert "table4.cpu.json: damaged" in line
