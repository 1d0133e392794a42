"""`run table2` at smoke size: what its artifacts read, and how they resume after a kill."""

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

from experiments.artifacts import Artifact, load
from experiments.artifacts.context import MODEL, Context
from experiments.artifacts.pixels import TrainPixels
from experiments.executors.datasets import DataSets
from experiments.profiles import PROFILES
from experiments.requests import StoredRequest, stored_requests
from experiments.store import EXAMPLES, Store
from sftok.data import DataConfig
from sftok.data.base import ImageSet
from sftok.io.weights import load_tensors

SPACES = '[{"name": "classifier"}]'
"""One feature space: what this is about does not depend on how many there are."""


def experiments(*arguments: str | Path) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "experiments", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(experiment: str, store: Path, *more: str) -> str:
    spaces = f"evaluation.extractors={SPACES}"
    return experiments("run", experiment, "--profile", "smoke", "--store", store, "--set", spaces, *more)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store in which table2 was run."""
    root = tmp_path_factory.mktemp("table2")
    run("table2", root)
    return Store(root)


@pytest.fixture(scope="module")
def request_made(finished: Store) -> StoredRequest:
    (request,) = stored_requests(finished.root)
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


def context(request: StoredRequest, store: Store, folder: Path, watch: Watch, read: list[str]) -> Context:
    data = DataSets(DataConfig.build(request.recipe["data"]))

    def load_data(split: str) -> ImageSet:
        read.append(split)
        return data.load(split)

    folder.mkdir(exist_ok=True)
    return Context(folder=folder, store=store, load_data=load_data, monitor=watch)


def of_kind(request: StoredRequest, kind: str) -> list[Artifact]:
    return [artifact for artifact in load(request.artifacts).values() if artifact.kind == kind]


def result(store: Store, artifact: Artifact) -> dict[str, Any]:
    found = store.result(artifact)
    assert found is not None
    return found.model_dump()


def test_every_row_has_every_number_and_one_protocol(finished: Store, request_made: StoredRequest) -> None:
    table = pd.DataFrame(
        json.loads(experiments("results", "table2", "--store", finished.root, "--format", "json"))
    )
    table = table[~table.row.isin(["teacher", "real"])]
    own_steps = ["ldm-4", "dc-ae", "open-magvit2-b", "llamagen-l"]
    assert set(table.row) == {*own_steps, "maskgit", "titok-b", "sftok-b", "sftok-l"}
    measured = ["gfid", "is", "precision", "recall"]
    speed = ["generator_parameters", "sampling_rate", "sampling_steps"]
    assert table.groupby("row").metric.apply(set).map(sorted).tolist() == [sorted(measured + speed)] * 8
    table = table[table.metric.isin(measured)]
    of_its_own = table.row.isin(own_steps)
    assert set(table[~of_its_own].steps) == {8}
    assert table[of_its_own].steps.isna().all()
    assert set(table.n_images) == {100}, "as many as the split has images"
    results = [result(finished, artifact) for artifact in of_kind(request_made, "generation")]
    assert len({each["protocol"]["fingerprint"] for each in results}) == 1


def test_the_choice_is_recorded_with_all_points_and_used(
    finished: Store, request_made: StoredRequest
) -> None:
    for artifact in of_kind(request_made, "generation"):
        choice = result(finished, artifact.inputs["guidance"])
        assert len(choice["points"]) == 1 + 3, "one temperature; DDIM has none"
        gfids = [point["gfid"] for point in choice["points"]]
        chosen = dict(choice["points"][gfids.index(min(gfids))])
        del chosen["gfid"]
        assert choice["chosen"] == chosen == result(finished, artifact)["sampling"]


def test_the_report_shows_galleries_and_the_choice(finished: Store) -> None:
    page = (finished.root / "report" / "table2.html").read_text()
    assert "6.18" in page
    assert "SFTok-B-MaskGIT, Trouser: 4 images" in page
    assert "fashion-mnist/validation" in page
    assert "Training seed 0, sampling seed 0" in page


def test_the_choice_reads_validation_images_and_repeats(
    finished: Store, request_made: StoredRequest, tmp_path: Path
) -> None:
    artifact = of_kind(request_made, "guidance")[1]
    read: list[str] = []
    again = artifact.make(context(request_made, finished, tmp_path / "work", Watch(), read))
    assert read == ["validation"]
    assert {name: result(finished, artifact)[name] for name in again} == again


@pytest.fixture
def threads_of_the_profile() -> Iterator[None]:
    """As many as the finished run had: sums of another number of threads round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(PROFILES["smoke"].threads or before)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads_of_the_profile")
@pytest.mark.parametrize(("place", "die_at"), [(-1, 1), (-1, 3), (-1, 5), (0, 3), (1, 3)])
def test_a_killed_generator_resumes_with_the_same_bits(
    finished: Store, request_made: StoredRequest, tmp_path: Path, place: int, die_at: int
) -> None:
    artifact = of_kind(request_made, "generator")[place]
    read: list[str] = []
    folder = tmp_path / "work"
    with pytest.raises(KeyboardInterrupt):
        artifact.make(context(request_made, finished, folder, Watch(die_at), read))
    assert (folder / "checkpoint.safetensors").exists() == (die_at > 2)
    artifact.make(context(request_made, finished, folder, Watch(), read))
    # Tensor by tensor: a file may list what it says about itself in another order.
    expected, _ = load_tensors(finished.folder(artifact) / MODEL)
    found, _ = load_tensors(folder / MODEL)
    assert found.keys() == expected.keys()
    assert all(found[name].equal(value) for name, value in expected.items())
    assert set(read) == {"train"}


def test_everything_that_is_stored_is_there(finished: Store, request_made: StoredRequest) -> None:
    for artifact in of_kind(request_made, "generation"):
        assert (finished.folder(artifact) / EXAMPLES).is_file()
    for artifact in of_kind(request_made, "tokens"):
        tokens = result(finished, artifact)
        assert tokens["images"] == 100
        if isinstance(artifact.inputs["tokenizer"], TrainPixels):
            continue
        assert 1 <= tokens["codes_used"] <= tokens["codebook_size"]
