"""Weights that a run needs days later are asked for before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from plans import planned as planned_as

from experiments.planning.needed_weights import MissingWeightsError, require_weights
from experiments.planning.plan import Plan


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch's hub, so that nothing depends on what a machine has."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return tmp_path / "hub" / "checkpoints"


def planned(profile: str, **changes: object) -> Plan:
    return planned_as("table4", {key.replace("__", "."): value for key, value in changes.items()}, profile)


def test_all_that_the_paper_profile_lacks_is_one_line(hub: Path) -> None:
    artifacts = planned("paper", fine_tuned=True, evaluation__metrics=["lpips"]).artifacts
    with pytest.raises(MissingWeightsError) as refused:
        require_weights(artifacts)
    message = str(refused.value)
    assert "\n" not in message
    for file in (
        "dino_deitsmall16_pretrain.pth",
        "vgg16-397923af.pth",
        "alexnet-owt-7be5be79.pth",
        "weights-inception-2015-12-05-6726825d.pth",
    ):
        assert f"{hub / file}" in message
    assert message.count("fetch https://") == 4
    assert "fine-tuning of ratio-0.5, seed 0 needs LPIPS (vgg)" in message
    assert "evaluation of the teacher needs inception-v3-compat" in message


def test_what_comes_before_stage_3_needs_none_of_its_weights() -> None:
    artifacts = planned(
        "paper", evaluation__extractors=[{"name": "classifier"}], evaluation__primary_extractor="classifier"
    ).artifacts
    assert "fine-tuning" not in {artifact.stage for artifact in artifacts}
    require_weights(artifacts)


def test_a_damaged_file_is_found_at_once(hub: Path) -> None:
    hub.mkdir(parents=True)
    (hub / "vgg16-397923af.pth").write_bytes(b"cut off")
    needed = [each for each in planned("paper", fine_tuned=True).artifacts if each.stage == "fine-tuning"]
    with pytest.raises(MissingWeightsError, match=r"vgg16-397923af\.pth is damaged or another network's"):
        require_weights(needed)


def test_the_small_profiles_have_theirs_from_a_package() -> None:
    artifacts = planned("cpu", fine_tuned=True).artifacts
    assert "fine-tuning" in {artifact.stage for artifact in artifacts}
    require_weights(artifacts)
