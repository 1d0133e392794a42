"""A stored request holds the plan that was made, key for key, and is read without planning."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from plans import SPECS, planned

from experiments.artifacts.base import load
from experiments.paper import table1, table3, table4, table6
from experiments.planning.plan import combined
from experiments.planning.requests import new_request
from experiments.requests import StoredRequest, stored_requests
from experiments.specs import Experiment
from experiments.store import Store, StoreError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    store.prepare()
    return store


def request_of(experiment: Experiment, seeds: tuple[int, ...] = (0,), **overrides: Any) -> StoredRequest:
    changes = {key.replace("__", "."): value for key, value in overrides.items()}
    made = planned(experiment, changes, seeds=seeds)
    return new_request(made, ["run", experiment.name, "--set", "a=b c"], "some images", {})


def test_round_trip(store: Store) -> None:
    made = planned("table3", {"evaluation.temperature": 0.5}, seeds=(0, 5))
    path = new_request(made, ["run", "table3", "--set", "a=b c"], "some images", {}).save(store.root)
    loaded = StoredRequest.load(path)
    assert tuple(load(loaded.artifacts).values()) == made.artifacts
    assert [(row.row, row.seed, row.evaluation) for row in loaded.rows] == [
        (row.row, row.seed, row.evaluation.name) for row in made.rows
    ]
    assert all(loaded.users[each.name] == made.users[each] for each in made.artifacts)
    assert (loaded.command, loaded.data) == ("python -m experiments run table3 --set 'a=b c'", "some images")


def test_everything_at_once_comes_back_from_disk(store: Store) -> None:
    work = combined([planned(spec, profile="smoke") for spec in SPECS.values()])
    loaded = StoredRequest.load(new_request(work, ["run", "all"], "some images", {}).save(store.root))
    assert tuple(load(loaded.artifacts).values()) == work.artifacts


def test_a_reader_needs_neither_torch_nor_a_plan(store: Store) -> None:
    request_of(SPECS["table5"]).save(store.root)
    script = (
        "import sys; from pathlib import Path; from experiments.requests import stored_requests; "
        f"(request,) = stored_requests(Path({str(store.root)!r})); print(request.name); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'experiments.recipe', 'pandas')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "table5\n"), done.stderr


def test_a_request_says_what_its_rows_and_numbers_are() -> None:
    request = request_of(table1.EXPERIMENT)
    assert request.facts["maskgit"] == {"Token length": "49", "#Code": "256"}
    assert request.facts["one-d-piece-b-half"]["Token length"] == "1"
    assert request.primary_extractor == "classifier"
    rfid = request.metrics["rfid"]
    assert (rfid["label"], rfid["direction"], rfid["of_features"]) == ("rFID", -1, True)
    assert request.recipes["titok-b"]["stage1"]["steps"] == "all"
    assert {"cross_entropy", "exposure_gap"} <= request_of(SPECS["appendix_c"]).metrics.keys()
    costs = request_of(SPECS["table5"]).costs["sftok-b"]
    assert costs["alignment"]["paper_images"] == 800_000 * 256
    assert all(line["published"] for line in request_of(table6.EXPERIMENT).settings)


def test_every_request_names_the_calibration_of_its_spaces_which_only_one_of_them_makes() -> None:
    table, judges = request_of(table4.EXPERIMENT), request_of(SPECS["judges"])
    assert table.calibration == judges.calibration
    assert table.calibration not in table.artifacts
    assert judges.calibration in judges.artifacts
    assert judges.rows[0].evaluation == judges.calibration.name
    assert request_of(table4.EXPERIMENT, calibration__draws=4).calibration != table.calibration


def test_a_network_that_stage_3_trains_with_is_named() -> None:
    assert request_of(table4.EXPERIMENT).trained_in == ()
    assert request_of(SPECS["stage3"]).trained_in == ("efficientnet-lite0@64",)


def test_the_latest_request_comes_first_and_replaces_an_earlier_one_of_its_kind(store: Store) -> None:
    for experiment, seeds, requested in (
        (table4.EXPERIMENT, (0,), "2026-01-01T00:00:00+00:00"),
        (table3.EXPERIMENT, (0,), "2026-01-03T00:00:00+00:00"),
        (table4.EXPERIMENT, (0, 1), "2026-01-02T00:00:00+00:00"),
    ):
        request_of(experiment, seeds).model_copy(update={"requested": requested}).save(store.root)
    found = [(request.name, request.seeds) for request in stored_requests(store.root)]
    assert found == [("table3", (0,)), ("table4", (0, 1))]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("artifacts", 0, "unheard"), 1),
        (("unheard",), 1),
        (("version",), 1),
        (("seeds",), "no list"),
        (("rows", 0, "evaluation"), "gone"),
    ],
)
def test_a_request_of_another_version_is_named(store: Store, place: tuple[Any, ...], value: Any) -> None:
    path = request_of(table4.EXPERIMENT).save(store.root)
    content = json.loads(path.read_text())
    *way, last = place
    within = content
    for step in way:
        within = within[step]
    within[last] = value
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match=r"table4\.cpu\.json: damaged or of another version .* delete it"):
        StoredRequest.load(path)


def test_a_damaged_request_is_named_and_the_others_are_read(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    request_of(table3.EXPERIMENT).save(store.root)
    (store.root / "requests" / "table4.cpu.json").write_text("{half")
    assert [request.name for request in stored_requests(store.root)] == ["table3"]
    (line,) = [record.getMessage() for record in caplog.records]
    assert "left out" in line
    assert "table4.cpu.json: damaged" in line
