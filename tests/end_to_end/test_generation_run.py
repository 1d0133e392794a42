"""`run table2` at smoke size; and what its makers read, and how they go on after a kill."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from experiments.artifacts import Artifact
from experiments.executors.datasets import DataSets
from experiments.planning.requests import Request, stored_requests
from experiments.profiles import PROFILES
from experiments.store import EXAMPLES, RESULT, Store, read_json
from experiments.tasks import find_maker
from experiments.tasks.base import MODEL, Task
from sftok.data.base import ImageSet
from sftok.weights import load_tensors

SPACES = '[{"name": "classifier"}]'
"""One feature space: what this is about does not depend on how many there are."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store in which table2 was run."""
    root = tmp_path_factory.mktemp("table2")
    command = [
        sys.executable,
        "-m",
        "experiments",
        "run",
        "table2",
        "--profile",
        "smoke",
        "--store",
        str(root),
    ]
    done = subprocess.run(
        [*command, "--set", f"evaluation.extractors={SPACES}"],
        capture_output=True,
        text=True,
        timeout=280,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return Store(root)


@pytest.fixture(scope="module")
def request_made(finished: Store) -> Request:
    (request,) = stored_requests(finished)
    return request


class Watch:
    """A monitor that can die at a step, as a killed process does: without a checkpoint."""

    def __init__(self, die_at: int | None = None):
        self.die_at = die_at

    def progress(self, done: int, total: int) -> None:
        if done == self.die_at:
            raise KeyboardInterrupt

    def record(self, values: dict[str, Any]) -> None: ...

    def resumed(self, step: int) -> None: ...

    def should_stop(self) -> bool:
        return False


def task_of(
    artifact: Artifact, store: Store, request: Request, folder: Path, watch: Watch, read: list[str]
) -> Task:
    data = DataSets(request.plan.recipe.data)

    def load(split: str) -> ImageSet:
        read.append(split)
        return data.load(split)

    folder.mkdir(exist_ok=True)
    return Task(
        artifact=artifact,
        folder=folder,
        inputs={role: store.folder(upstream) for role, upstream in artifact.inputs.items()},
        load_data=load,
        cache=folder / "cache",
        monitor=watch,
    )


def of_kind(request: Request, kind: str) -> list[Artifact]:
    return [artifact for artifact in request.plan.artifacts if artifact.kind == kind]


def test_every_row_has_every_number_and_one_protocol(finished: Store, request_made: Request) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "experiments",
            "results",
            "table2",
            "--store",
            finished.root,
            "--format",
            "json",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    table = pd.DataFrame(json.loads(done.stdout))
    table = table[~table.row.isin(["teacher", "real"])]
    assert set(table.row) == {"maskgit", "titok-b", "sftok-b", "sftok-l"}
    assert (
        table.groupby("row").metric.apply(set).map(sorted).tolist()
        == [["gfid", "is", "precision", "recall"]] * 4
    )
    assert set(table.steps) == {8}
    assert set(table.n_images) == {100}, "as many as the split has images"
    results = [finished.result(node) or {} for node in of_kind(request_made, "generation")]
    assert len({result["protocol"]["fingerprint"] for result in results}) == 1


def test_the_choice_is_recorded_with_all_points_and_used(finished: Store, request_made: Request) -> None:
    for node in of_kind(request_made, "generation"):
        choice = finished.result(node.inputs["guidance"]) or {}
        assert len(choice["points"]) == 1 + 3
        gfids = [point["gfid"] for point in choice["points"]]
        chosen = dict(choice["points"][gfids.index(min(gfids))])
        del chosen["gfid"]
        assert choice["chosen"] == chosen == (finished.result(node) or {})["sampling"]


def test_the_report_shows_galleries_and_the_choice(finished: Store) -> None:
    page = (finished.root / "report" / "table2.html").read_text()
    assert "6.18" in page
    assert "SFTok-B-MaskGIT, Trouser: 4 generated images" in page
    assert "fashion-mnist/validation" in page
    assert "Training seed 0, sampling seed 0" in page


def test_the_choice_reads_validation_images_and_repeats(
    finished: Store, request_made: Request, tmp_path: Path
) -> None:
    node = of_kind(request_made, "guidance")[1]
    read: list[str] = []
    task = task_of(node, finished, request_made, tmp_path / "work", Watch(), read)
    again = find_maker(node.kind)(task)
    assert read == ["validation"]
    assert {name: (finished.result(node) or {})[name] for name in again} == again


@pytest.fixture
def threads_of_the_profile() -> Iterator[None]:
    """As many as the finished run had: sums of another number of threads round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(PROFILES["smoke"].threads or before)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads_of_the_profile")
@pytest.mark.parametrize("die_at", [1, 3, 5])
def test_a_killed_generator_goes_on_with_the_same_bits(
    finished: Store, request_made: Request, tmp_path: Path, die_at: int
) -> None:
    node = of_kind(request_made, "generator")[1]
    read: list[str] = []
    folder = tmp_path / "work"
    with pytest.raises(KeyboardInterrupt):
        find_maker(node.kind)(task_of(node, finished, request_made, folder, Watch(die_at), read))
    assert (folder / "checkpoint.safetensors").exists() == (die_at > 2)
    find_maker(node.kind)(task_of(node, finished, request_made, folder, Watch(), read))
    # Tensor by tensor: a file may list what it says about itself in another order.
    expected, _ = load_tensors(finished.folder(node) / MODEL)
    found, _ = load_tensors(folder / MODEL)
    assert found.keys() == expected.keys()
    assert all(found[name].equal(value) for name, value in expected.items())
    assert set(read) == {"train"}


def test_figures_16_and_17_need_nothing_new(finished: Store) -> None:
    command = [sys.executable, "-m", "experiments", "run", "figure6", "--profile", "smoke", "--dry-run"]
    done = subprocess.run(
        [*command, "--store", str(finished.root), "--set", f"evaluation.extractors={SPACES}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "0 to make" in done.stdout


def test_everything_that_is_stored_is_there(finished: Store, request_made: Request) -> None:
    for node in of_kind(request_made, "generation"):
        assert (finished.folder(node) / EXAMPLES).is_file()
    for node in of_kind(request_made, "tokens"):
        result = read_json(finished.folder(node) / RESULT) or {}
        assert result["images"] == 100
        assert 1 <= result["codes_used"] <= result["codebook_size"]
