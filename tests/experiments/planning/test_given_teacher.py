"""A teacher that is trained already: part of every key by its weights, checked before anything is planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from plans import DATA
from plans import planned as planned_as

from experiments.artifacts.base import load
from experiments.artifacts.teacher import WEIGHTS, Teacher, given_weights
from experiments.executors.datasets import DataSets
from experiments.executors.inline import Runner
from experiments.planning.plan import Plan
from experiments.planning.requests import new_request
from experiments.profiles import PROFILES
from experiments.recipe import resolve
from experiments.requests import StoredRequest
from experiments.store import Store
from sftok.config import ConfigError
from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.tokenizers.hub import open_tokenizer
from sftok.tokenizers.sftok import SFTok

SMOKE = PROFILES["smoke"]


def planned(name: str, checkpoint: str | None, **data: str) -> Plan:
    changes = {} if checkpoint is None else {"teacher.checkpoint": checkpoint}
    return planned_as(name, changes, "smoke", data={**DATA, WEIGHTS: "d" * 64, **data})


def smoke_teacher(seed: int, **changes: Any) -> MaskGITVQGAN:
    recipe = resolve(SMOKE.overlay)
    config = recipe.teacher.backbone.model_copy(update=changes)
    return MaskGITVQGAN(config, recipe.data.image_size, torch.Generator().manual_seed(seed))


@pytest.fixture
def given(tmp_path: Path) -> Path:
    smoke_teacher(7).save_pretrained(tmp_path / "teacher")
    return tmp_path / "teacher"


def recipe_with(checkpoint: Path) -> Any:
    return resolve(SMOKE.overlay, {"teacher.checkpoint": str(checkpoint)})


def test_keys_depend_on_the_weights_and_not_on_their_place() -> None:
    here, there = planned("table4", "here"), planned("table4", "there")
    assert here.artifacts == there.artifacts
    assert {artifact.origin for artifact in here.artifacts if artifact.kind == "teacher"} == {"here"}
    others = planned("table4", "here", **{WEIGHTS: "e" * 64})
    trained = planned("table4", None)
    shared = [set(here.artifacts) & set(plan.artifacts) for plan in (others, trained)]
    assert [{artifact.kind for artifact in artifacts} for artifacts in shared] == [
        {"classifier", "judge"}
    ] * 2


def test_a_teacher_of_another_kind_is_trained_beside_the_given_one() -> None:
    teachers = [artifact for artifact in planned("table1", "here").artifacts if artifact.kind == "teacher"]
    assert {artifact.label: artifact.origin for artifact in teachers} == {"teacher": "here", "vqgan": None}


def test_its_place_reaches_jobs_in_other_processes(tmp_path: Path) -> None:
    new_request(planned("table4", "here"), ["run", "table4"], "no data", {}).write(tmp_path / "request.json")
    loaded = load(StoredRequest.load(tmp_path / "request.json").artifacts).values()
    assert [each.origin for each in loaded if isinstance(each, Teacher)] == ["here"]


def test_weights_are_identified_by_content(given: Path, tmp_path: Path) -> None:
    smoke_teacher(7).save_pretrained(tmp_path / "copy")
    smoke_teacher(8).save_pretrained(tmp_path / "other")
    first, copy, other = (
        given_weights(recipe_with(folder)) for folder in (given, tmp_path / "copy", tmp_path / "other")
    )
    assert first == copy != other
    assert given_weights(resolve(SMOKE.overlay)) == {}


def test_a_tokenizer_is_no_teacher(tmp_path: Path) -> None:
    tokenizer = SFTok.from_config(resolve(SMOKE.overlay).tokenizer_config(), torch.Generator().manual_seed(0))
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    with pytest.raises(ConfigError, match="a sftok, which has no codes"):
        given_weights(recipe_with(tmp_path / "tokenizer"))


def test_another_size_is_refused_by_name(tmp_path: Path) -> None:
    smoke_teacher(7, codebook_size=24).save_pretrained(tmp_path / "teacher")
    with pytest.raises(ConfigError, match="its codebook_size is 24, the recipe's is 16"):
        given_weights(recipe_with(tmp_path / "teacher"))


def test_a_run_takes_its_weights_over(given: Path, tmp_path: Path) -> None:
    recipe = recipe_with(given)
    data = DataSets(recipe.data)
    made = planned("table4", str(given), **data.fingerprints("test"), **given_weights(recipe))
    store = Store(tmp_path / "runs")
    store.prepare()
    teacher = next(artifact for artifact in made.artifacts if artifact.kind == "teacher")
    assert Runner(store, data.load).ensure(teacher) is None
    kept = MaskGITVQGAN.from_pretrained(store.folder(teacher)).state_dict()
    weights = open_tokenizer(given).state_dict()
    assert kept.keys() == weights.keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in weights.items())
    codes = next(artifact for artifact in made.artifacts if artifact.kind == "codes")
    assert Runner(store, data.load).ensure(codes) is None


def test_weights_that_change_after_planning_are_refused(given: Path, tmp_path: Path) -> None:
    made = planned("table4", str(given))
    store = Store(tmp_path / "runs")
    store.prepare()
    teacher = next(artifact for artifact in made.artifacts if artifact.kind == "teacher")
    reason = Runner(store, DataSets(recipe_with(given).data).load).ensure(teacher)
    assert reason is not None
    assert "have changed since the run was planned" in reason
