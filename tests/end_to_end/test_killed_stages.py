"""Whatever is trained can be killed (SIGKILL) at any step: what comes out in the end has the same bits."""

from __future__ import annotations

import multiprocessing
import random
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from killing import make_and_die

from experiments.artifacts import Artifact
from experiments.artifacts.context import MODEL
from experiments.executors.datasets import DataSets
from experiments.executors.inline import Runner
from experiments.paper import table4
from experiments.planning.plan import plan
from experiments.profiles import PROFILES
from experiments.recipe import resolve
from experiments.store import METRICS, Store
from sftok.io.weights import content_hash, load_tensors
from sftok.models.efficientnet_lite0 import efficientnet_lite0

STEPS = {
    "classifier.steps": 6,
    "teacher.steps": 6,
    "stage1.steps": 5,
    "tokenizer_steps": 10,
    "stage3.steps": 5,
}
THREE_STAGES: Mapping[str, Any] = {**STEPS, "fine_tuned": True}
SINGLE_STEP: Mapping[str, Any] = {**THREE_STAGES, "stage1.steps": "all"}

STAGES = [
    ("classifier", THREE_STAGES),
    ("teacher", THREE_STAGES),
    ("warm-up", THREE_STAGES),
    ("alignment", THREE_STAGES),
    ("fine-tuning", THREE_STAGES),
    ("single-step-fine-tuning", SINGLE_STEP),
]


class Making:
    """The artifacts of Table 4's first row at smoke size, made one by one."""

    def __init__(self, changes: Mapping[str, Any]):
        self.config = resolve(PROFILES["smoke"].overlay, changes).data
        self.data = DataSets(self.config)
        prints = self.data.fingerprints("test")
        self.artifacts = plan(table4.EXPERIMENT, PROFILES["smoke"], (0,), changes, prints).artifacts

    def stage(self, name: str) -> Artifact:
        return next(artifact for artifact in self.artifacts if artifact.stage == name)

    def make(self, artifact: Artifact, store: Store) -> None:
        for upstream in artifact.inputs.values():
            self.make(upstream, store)
        assert Runner(store, self.data.load).ensure(artifact) is None


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Where everything is made without being disturbed."""
    store = Store(tmp_path_factory.mktemp("whole"))
    store.prepare()
    return store


@pytest.mark.parametrize(("name", "changes"), STAGES, ids=[name for name, _ in STAGES])
def test_a_killed_stage_ends_with_the_same_bits(
    store: Store, tmp_path: Path, name: str, changes: Mapping[str, Any]
) -> None:
    making = Making(changes)
    stage = making.stage(name)
    making.make(stage, store)
    killed = Store(tmp_path)
    killed.prepare()
    for upstream in stage.inputs.values():
        killed.folder(upstream).symlink_to(store.folder(upstream))
    # Any step but the last; which one differs from stage to stage, and is the same at every run of the test.
    step = random.Random(name).randrange(1, stage.units)
    start = multiprocessing.get_context("forkserver")
    start.set_forkserver_preload(["experiments.executors.inline", "experiments.artifacts.training"])
    threads = torch.get_num_threads()
    child = start.Process(target=make_and_die, args=(stage, killed.root, making.config, step, threads))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert not killed.is_done(stage)
    assert Runner(killed, making.data.load).ensure(stage) is None
    (found, its_record), (expected, record) = (
        load_tensors(each.folder(stage) / MODEL) for each in (killed, store)
    )
    assert its_record == record
    assert all(found[part].equal(value) for part, value in expected.items())
    assert (killed.folder(stage) / METRICS).read_text() == (store.folder(stage) / METRICS).read_text()


def test_fine_tuning_says_which_networks_it_looked_through(store: Store) -> None:
    making = Making(THREE_STAGES)
    stage = making.stage("fine-tuning")
    making.make(stage, store)
    result = store.result(stage)
    assert result is not None
    assert result.model_extra is not None
    assert result.model_extra["networks"] == dict.fromkeys(
        ("perceptual", "discriminator"), content_hash(efficientnet_lite0().state_dict())
    )
