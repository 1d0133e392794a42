"""A stopped evaluation of a table's row resumes at its finished parts, with the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experiments.artifacts.context import MODEL, Context
from experiments.artifacts.evaluation import Evaluation
from experiments.planning.plan import plan
from experiments.profiles import PROFILES
from experiments.specs.registry import Registry
from experiments.store import EXAMPLES, PARTS, Store
from sftok.data.base import MemoryImageSet
from sftok.evaluation import passes
from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.tokenizers.sftok import SFTok
from sftok.training.loop import TrainingInterrupted

SETTINGS = {
    "evaluation.extractors": [{"name": "efficientnet-lite0", "resolution": 48}],
    "evaluation.primary_extractor": "efficientnet-lite0",
    "evaluation.metrics": ["rfid", "psnr", "code_accuracy", "codebook_use"],
    "evaluation.steps": [1, 2],
    "evaluation.batch_size": 8,
}


class Stopping:
    """A monitor that asks to stop once `share` of the work is done."""

    def __init__(self, share: float = 2.0) -> None:
        self.share, self.done = share, 0.0

    def progress(self, done: int, total: int) -> None:
        self.done = done / total

    def record(self, values: dict[str, Any]) -> None: ...

    def resumed(self, step: int) -> None: ...

    def should_stop(self) -> bool:
        return self.done > self.share


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def evaluation(store: Store) -> Evaluation:
    """Of a tokenizer with its teacher, both as first drawn."""
    data = {"train": "a" * 64, "validation": "b" * 64, "test": "c" * 64}
    spec = Registry(("experiments.paper",)).experiments()["table4"]
    found = plan(spec, PROFILES["smoke"], (0,), SETTINGS, data).rows[0].evaluation
    assert isinstance(found, Evaluation)
    assert found.teacher is not None
    for artifact, model in (
        (found.teacher, MaskGITVQGAN(found.teacher.backbone, found.teacher.image_size)),
        (found.tokenizer, SFTok.from_config(found.tokenizer.model)),  # type: ignore[union-attr]
    ):
        store.folder(artifact).mkdir(parents=True)  # type: ignore[arg-type]
        model.save_weights(store.folder(artifact) / MODEL)  # type: ignore[arg-type]
    return found


def context(store: Store, folder: Path, monitor: Stopping) -> Context:
    draws = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (40, 3, 28, 28), dtype=torch.uint8, generator=draws)
    images = MemoryImageSet("made up", ("a", "b"), pixels, torch.arange(40) % 2)
    folder.mkdir(exist_ok=True)
    return Context(folder=folder, store=store, load_data=lambda split: images, monitor=monitor)


@pytest.mark.parametrize("share", [0.4, 0.8])
def test_a_stopped_evaluation_resumes_with_the_same_numbers(
    evaluation: Evaluation, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    whole = evaluation.make(context(store, tmp_path / "whole", Stopping()))
    monkeypatch.setattr(passes, "PART_IMAGES", 8)
    folder = tmp_path / "stopped"
    with pytest.raises(TrainingInterrupted, match="resumes from the files that are complete"):
        evaluation.make(context(store, folder, Stopping(share)))
    finished = list(folder.glob(f"{PARTS}T*"))
    assert finished
    decode, decoded = SFTok.decode_codes, list[int]()

    def counted(own: SFTok, ids: torch.Tensor, *more: Any) -> Any:
        decoded.append(len(ids))
        return decode(own, ids, *more)

    monkeypatch.setattr(SFTok, "decode_codes", counted)
    assert evaluation.make(context(store, folder, Stopping())) == whole
    assert len(decoded) == 2 * 5 - len(finished)
    assert [path.name for path in folder.iterdir()] == [EXAMPLES]
    with np.load(folder / EXAMPLES) as found, np.load(tmp_path / "whole" / EXAMPLES) as expected:
        assert all(np.array_equal(found[name], expected[name]) for name in expected)
