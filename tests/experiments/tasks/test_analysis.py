"""The maker of analyses, on tokenizers as first drawn: every number is there, named and placed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.artifacts import Artifact
from experiments.planning.plan import plan
from experiments.planning.rows import PlannedRow
from experiments.profiles import PROFILES
from experiments.records.quantities import is_of_step, visible_percent
from experiments.registry import discover
from experiments.tasks import find_maker
from experiments.tasks.base import Task
from sftok.data.base import MemoryImageSet
from sftok.models.tokenizer import SFTok, SFTokConfig
from sftok.teacher.vqgan import MaskGITVQGAN, VQGANConfig
from sftok.training.loop import TrainingInterrupted

DATA = {"train": "a" * 64, "validation": "b" * 64, "test": "c" * 64}
SPECS = discover(("experiments.paper",))
SETTINGS = {"analysis.images": 8, "analysis.batch_size": 3, "analysis.steps": 3}


class Silent:
    """A monitor that keeps what it is told, and stops when asked to."""

    def __init__(self, stop: bool = False) -> None:
        self.done: list[int] = []
        self.stop = stop

    def progress(self, done: int, total: int) -> None:
        self.done.append(done)

    def record(self, values: dict[str, Any]) -> None: ...

    def resumed(self, step: int) -> None: ...

    def should_stop(self) -> bool:
        return self.stop


def planned_row(name: str, row: str, overrides: dict[str, Any] | None = None) -> PlannedRow:
    planned = plan(SPECS[name], PROFILES["smoke"], (0,), SETTINGS | (overrides or {}), DATA)
    return next(each for each in planned.rows if each.row == row)


def analyse(artifact: Artifact, model: dict[str, Any], folder: Path, monitor: Silent) -> dict[str, Any]:
    config = SFTokConfig.model_validate(model)
    vqgan = VQGANConfig.model_validate(model["pixel_decoder"])
    pixels = torch.randint(
        0, 256, (20, 3, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    images = MemoryImageSet("made up", ("a", "b"), pixels, torch.arange(20) % 2)
    inputs = {
        "teacher": MaskGITVQGAN.from_config(vqgan).save_pretrained(folder / "teacher"),
        "tokenizer": SFTok.from_config(config).save_pretrained(folder / "tokenizer"),
    }
    task = Task(
        artifact=artifact,
        folder=folder,
        inputs=inputs,
        load_data=lambda split: {"test": images}[split],
        cache=folder,
        monitor=monitor,
    )
    return find_maker("analysis")(task)


def test_every_step_has_every_quantity(tmp_path: Path) -> None:
    row, monitor = planned_row("figure4a", "vanilla"), Silent()
    result = analyse(row.analyses[0], row.training[-1].config["model"], tmp_path, monitor)
    assert result["images"] == 8
    assert monitor.done[-1] == 1000
    rows = result["rows"]
    assert all(is_of_step(each["metric"]) and each["n_images"] == 8 for each in rows)
    assert {each["subject"] for each in rows} == {"tokenizer"}
    by_metric: dict[str, list[int]] = {}
    for each in rows:
        by_metric.setdefault(each["metric"], []).append(each["steps"])
    assert set(map(tuple, by_metric.values())) == {(1, 2, 3)}
    assert len(by_metric) == 8


def test_every_context_has_every_quantity(tmp_path: Path) -> None:
    row = planned_row("appendix_c", "vanilla", {"analysis.visible_fractions": [0.25, 0.5]})
    result = analyse(row.analyses[0], row.training[-1].config["model"], tmp_path, Silent())
    found = [visible_percent(each["metric"]) for each in result["rows"]]
    assert {percent for _, percent in filter(None, found)} == {25.0, 50.0}
    assert len(found) == 2 * (3 * 4 + 4)
    assert {each["steps"] for each in result["rows"]} == {None}


def test_a_single_step_row_has_no_context(tmp_path: Path) -> None:
    row = planned_row("appendix_c", "deeper-decoder")
    result = analyse(row.analyses[0], row.training[-1].config["model"], tmp_path, Silent())
    quantities = {found[0] for each in result["rows"] if (found := visible_percent(each["metric"]))}
    assert quantities == {"ce_single", "accuracy_single", "bound_single"}


def test_it_stops_when_asked_to(tmp_path: Path) -> None:
    row = planned_row("figure4a", "vanilla")
    with pytest.raises(TrainingInterrupted):
        analyse(row.analyses[0], row.training[-1].config["model"], tmp_path, Silent(stop=True))
