"""A table measured with its systems' released weights: which rows, by which keys, without training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from plans import DATA, SPECS
from plans import planned as planned_as

from experiments.__main__ import main
from experiments.artifacts.base import load
from experiments.executors.datasets import DataSets
from experiments.executors.inline import Runner
from experiments.planning.plan import Plan
from experiments.planning.released import lines, with_released
from experiments.planning.requests import new_request
from experiments.profiles import PROFILES
from experiments.recipe import resolve
from experiments.records import load_run
from experiments.requests import StoredRequest
from experiments.specs import Experiment
from experiments.store import Store
from sftok.checkpoints import CheckpointError
from sftok.config import ConfigError
from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.tokenizers.sftok import SFTok

SMOKE = PROFILES["smoke"]
TABLE1 = SPECS["table1"]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Tiny tokenizers in place of two systems' weights: one decodes in steps, one does not."""
    recipe = resolve(SMOKE.overlay)
    SFTok.from_config(recipe.tokenizer_config(), seeded(1)).save_pretrained(tmp_path / "w" / "sftok-b")
    teacher = MaskGITVQGAN(recipe.teacher.backbone, recipe.data.image_size, seeded(2))
    teacher.save_pretrained(tmp_path / "w" / "maskgit")
    (tmp_path / "w" / "titok-b").mkdir()
    return tmp_path / "w"


def planned(experiment: Experiment, **data: str) -> Plan:
    return planned_as(experiment, {}, "smoke", data={**DATA, **data})


def test_rows_with_weights_are_measured_and_nothing_is_trained(folder: Path) -> None:
    plan = planned(with_released(TABLE1, folder))
    assert [row.row for row in plan.rows] == ["maskgit", "sftok-b"]
    kinds = {artifact.kind for artifact in plan.artifacts}
    assert kinds == {"released", "evaluation", "speed", "classifier", "judge"}
    facts = new_request(plan, ["run"], "data", {}).facts
    recipe = resolve(SMOKE.overlay)
    assert facts["sftok-b"]["Token length"] == str(recipe.tokenizer.num_latent_tokens)


def test_claims_about_rows_that_are_not_measured_are_left_out(folder: Path) -> None:
    assert with_released(TABLE1, folder).claims == ()
    both = TABLE1.claims[0].model_copy(update={"order": ("sftok-b@8 < maskgit",)})
    known = TABLE1.model_copy(update={"claims": (both,)})
    assert with_released(known, folder).claims == (both,)


def test_what_is_missing_is_named_with_its_source(folder: Path) -> None:
    said = list(lines(TABLE1, with_released(TABLE1, folder), folder))
    assert said[0].startswith("table1: 2 rows have released weights")
    assert f"  maskgit: measured, {folder / 'maskgit' / 'model.safetensors'}" in said
    (titok,) = (line for line in said if line.startswith("  titok-b:"))
    assert "put model.safetensors into" in titok
    assert "huggingface.co/yucornetto/tokenizer_titok_b64_imagenet" in titok
    (other,) = (line for line in said if line.startswith("  mo-vqgan:"))
    assert "no released weights" in other


def test_every_file_of_the_table_has_a_source() -> None:
    released = [row for row in TABLE1.trained_rows if row.release]
    assert len(released) == 13
    assert all(row.release.file and "." in row.release.source for row in released if row.release)


def test_keys_depend_on_the_weights_and_not_on_their_place(folder: Path, tmp_path: Path) -> None:
    here = planned(with_released(TABLE1, folder))
    folder.rename(tmp_path / "moved")
    there = planned(with_released(TABLE1, tmp_path / "moved"))
    assert here.artifacts == there.artifacts
    recipe = resolve(SMOKE.overlay)
    other = SFTok.from_config(recipe.tokenizer_config(), seeded(3))
    other.save_pretrained(tmp_path / "moved" / "sftok-b")
    changed = planned(with_released(TABLE1, tmp_path / "moved"))
    assert {artifact.label for artifact in set(changed.artifacts) - set(here.artifacts)} == {
        "released weights of sftok-b",
        "evaluation of sftok-b",
        "speed of sftok-b, seed 0",
    }


def test_weights_for_images_of_another_size_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.safetensors: takes 28x28 images; data\.image_size is 56"):
        planned_as(with_released(TABLE1, folder), {"data.image_size": 56}, "smoke")


def test_a_damaged_file_and_an_experiment_without_releases_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no row of table4 has released weights"):
        with_released(SPECS["table4"], folder)
    (folder / "titok-b" / "model.safetensors").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match="titok-b"):
        with_released(TABLE1, folder)


def test_a_run_measures_them_and_its_table_shows_the_numbers(folder: Path, tmp_path: Path) -> None:
    data = DataSets(resolve(SMOKE.overlay).data)
    plan = planned(with_released(TABLE1, folder), **data.fingerprints("test"))
    request = new_request(plan, ["run", "table1"], "data", {})
    request.write(tmp_path / "request.json")
    stored = StoredRequest.load(tmp_path / "request.json")
    assert list(load(stored.artifacts).values()) == list(plan.artifacts)
    store = Store(tmp_path / "runs")
    store.prepare()
    assert Runner(store, data.load).run(plan.artifacts) == {}
    frame = load_run(store, stored).frame
    rfid = frame[(frame["metric"] == "rfid") & (frame["extractor"] == "classifier")]
    assert set(rfid["row"]) == {"maskgit", "sftok-b"}
    assert rfid[rfid["row"] == "sftok-b"]["steps"].tolist() == list(resolve(SMOKE.overlay).evaluation.steps)
    assert rfid[rfid["row"] == "maskgit"]["steps"].isna().all()
    rates = frame[frame["metric"] == "decoding_rate"]
    assert set(rates["row"]) == {"maskgit", "sftok-b"}


def test_a_dry_run_needs_no_data_to_list_what_to_get(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["run", "table1", "--profile", "paper", "--released", str(tmp_path / "none")]
    assert main([*asked, "--dry-run"]) == 0
    assert "huggingface.co/FoundationVision/LlamaGen" in capsys.readouterr().out
    assert main(asked) == 1
