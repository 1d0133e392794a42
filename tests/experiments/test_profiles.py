"""Profiles and the measured costs that may lie beside them."""

from __future__ import annotations

import importlib.resources
import json
import shutil
from pathlib import Path

import pytest

from experiments import profiles
from experiments.profiles import PROFILES, _read
from sftok.config import ConfigError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the profiles, which are read from there."""
    installed = Path(str(importlib.resources.files("experiments.profiles")))
    for path in installed.glob("*.toml"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(profiles.importlib.resources, "files", lambda package: tmp_path)
    return tmp_path


def test_a_benchmark_replaces_the_costs_of_its_profile_and_nothing_else(folder: Path) -> None:
    costs = {"alignment": 0.25, "teacher": 0.1}
    written = {"device": "a GPU", "torch": "2", "tiny": False, "rows": [], "seconds_per_step": costs}
    for name in ("gpu", "cpu"):
        (folder / f"{name}.benchmark.json").write_text(json.dumps(written))
        assert _read(name) == PROFILES[name].model_copy(update={"seconds_per_step": costs})
    assert _read("paper") == PROFILES["paper"]


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ('{"tiny": true, "seconds_per_step": {"alignment": 1.0}}', "measured with --tiny"),
        ('{"tiny": false, "seconds_per_step": {}}', "without seconds_per_step"),
        ('{"tiny": fal', "without seconds_per_step"),
    ],
)
def test_another_file_is_refused_with_its_place_and_the_remedy(
    folder: Path, content: str, wrong: str
) -> None:
    (folder / "gpu.benchmark.json").write_text(content)
    with pytest.raises(ConfigError, match=rf"gpu\.benchmark\.json: {wrong}; delete it, or .*gpu_benchmark"):
        _read("gpu")
