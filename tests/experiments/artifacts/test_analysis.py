"""An analysis makes itself from a tokenizer and a teacher as first drawn; its numbers are all there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.artifacts.analysis import Analysis
from experiments.artifacts.context import MODEL, Context
from experiments.planning.plan import plan
from experiments.profiles import PROFILES
from experiments.specs.registry import Registry
from experiments.store import Store
from sftok.data.base import MemoryImageSet
from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.tokenizers.sftok import SFTok
from sftok.training.loop import TrainingInterrupted

DATA = {"train": "a" * 64, "validation": "b" * 64, "test": "c" * 64}
SPECS = Registry(("experiments.paper",)).experiments()
SETTINGS = {
    f"analysis.{name}.{key}": value
    for name in ("steps", "contexts")
    for key, value in (("images", 8), ("batch_size", 3))
}


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


def analyze(store: Path, experiment: str, row: str, monitor: Silent, **settings: Any) -> list[dict[str, Any]]:
    overrides = SETTINGS | {f"analysis.{key.replace('__', '.')}": value for key, value in settings.items()}
    planned = plan(SPECS[experiment], PROFILES["smoke"], (0,), overrides, DATA)
    analysis = next(each for each in planned.rows if each.row == row).analyses[0]
    assert isinstance(analysis, Analysis)
    opened = Store(store)
    pixels = torch.randint(
        0, 256, (20, 3, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    images = MemoryImageSet("made up", ("a", "b"), pixels, torch.arange(20) % 2)
    teacher, tokenizer = analysis.teacher, analysis.tokenizer
    for artifact, model in (
        (teacher, MaskGITVQGAN(teacher.backbone, teacher.image_size)),
        (tokenizer, SFTok.from_config(tokenizer.model)),
    ):
        opened.folder(artifact).mkdir(parents=True)
        model.save_weights(opened.folder(artifact) / MODEL)
    context = Context(
        folder=store, store=opened, load_data=lambda split: {"test": images}[split], monitor=monitor
    )
    rows = analysis.make(context)["rows"]
    assert all(each["n_images"] == 8 and each["subject"] == "tokenizer" for each in rows)
    return rows


def test_every_step_has_every_quantity(tmp_path: Path) -> None:
    monitor = Silent()
    rows = analyze(tmp_path, "figure4a", "vanilla", monitor, steps__steps=3)
    assert monitor.done[-1] == 1000
    steps: dict[tuple[str, str], list[int]] = {}
    for each in rows:
        steps.setdefault((each["metric"], each["positions"]), []).append(each["step"])
    assert set(map(tuple, steps.values())) == {(1, 2, 3)}
    assert len(steps) == 8


def test_every_context_has_every_quantity(tmp_path: Path) -> None:
    rows = analyze(tmp_path, "appendix_c", "vanilla", Silent(), contexts__visible_fractions=[0.25, 0.5])
    assert {each["visible"] for each in rows} == {0.25, 0.5}
    assert len(rows) == 2 * (3 * 4 + 4)


def test_a_single_step_row_has_no_context(tmp_path: Path) -> None:
    rows = analyze(tmp_path, "appendix_c", "deeper-decoder", Silent())
    assert {(each["metric"], each["context"]) for each in rows} == {
        (metric, "single") for metric in ("cross_entropy", "accuracy", "accuracy_bound")
    }


def test_it_stops_when_asked_to(tmp_path: Path) -> None:
    with pytest.raises(TrainingInterrupted):
        analyze(tmp_path, "figure4a", "vanilla", Silent(stop=True))
