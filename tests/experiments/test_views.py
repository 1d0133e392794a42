"""Training sees views of its images, and the teacher's codes are of the very view that the encoder sees."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from experiments.artifacts import Artifact
from experiments.executors.datasets import DataSets
from experiments.executors.inline import Runner
from experiments.executors.stop import Interrupted, Stop
from experiments.paper import table4
from experiments.planning.plan import Plan, plan
from experiments.profiles import PROFILES
from experiments.recipe import resolve
from experiments.store import METRICS, Store

DATA = {"train": "a" * 64, "validation": "b" * 64, "test": "c" * 64}
VIEWS = {"augmentation.random_crop": True, "augmentation.flip": True}


def planned(changes: Mapping[str, Any], profile: str = "smoke", data: Mapping[str, str] = DATA) -> Plan:
    return plan(table4.EXPERIMENT, PROFILES[profile], (0,), changes, data)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of oblong noise, of which a crop has something to choose."""
    root = tmp_path_factory.mktemp("photos")
    for place in range(44):
        draws = np.random.default_rng(place)
        file = root / ("a", "b")[place % 2] / f"{place}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(draws.integers(0, 256, (30, 61, 3), dtype=np.uint8)).save(file)
    return root


class Trained:
    """Table 4's first row at smoke size on the photos, and what its stages wrote."""

    def __init__(self, root: Path, photos: Path, changes: Mapping[str, Any]):
        small = {
            "data.source": "folder",
            "data.path": str(photos),
            "data.validation_images": 4,
            # 36 training images in batches of 8: the fifth step begins the second epoch.
            "stage1.training.batch_size": 8,
            "stage2.training.batch_size": 8,
            "stage1.steps": 6,
            "tokenizer_steps": 7,
        }
        overlay = {**small, **changes}
        self.data = DataSets(resolve(PROFILES["smoke"].overlay, overlay).data)
        self.plan = planned(overlay, data=self.data.fingerprints("test"))
        self.store = Store(root)
        self.store.prepare()

    def warm_up(self, stop: Stop | None = None) -> list[dict[str, float]]:
        """Make the warm-up and all it needs; the lines of its curve."""
        stage = next(node for node in self.plan.artifacts if node.stage == "warm-up")
        for node in stage.with_inputs():
            assert Runner(self.store, self.data.load, stop=stop).ensure(node) is None
        lines = (self.store.folder(stage) / METRICS).read_text().splitlines()
        return [json.loads(line) for line in lines]


def losses(lines: list[dict[str, float]]) -> list[float]:
    return [line["reconstruction_loss"] for line in lines]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> list[float]:
    """The losses of a warm-up on three views, whose codes are cached."""
    changes = {**VIEWS, "augmentation.views": 3}
    return losses(Trained(tmp_path_factory.mktemp("kept"), photos, changes).warm_up())


def test_codes_made_on_the_fly_equal_the_cached_ones(tmp_path: Path, photos: Path, kept: list[float]) -> None:
    endless = Trained(tmp_path, photos, VIEWS)
    assert not [node for node in endless.plan.artifacts if node.kind == "codes"]
    # The first two epochs show views 0 and 1 either way; a code of another view would change the loss.
    assert losses(endless.warm_up()) == kept


def test_views_change_what_is_learned(tmp_path: Path, photos: Path, kept: list[float]) -> None:
    assert losses(Trained(tmp_path, photos, {}).warm_up()) != kept


@pytest.mark.parametrize("stop_at", [3, 5])
def test_a_run_on_views_resumes_at_the_right_sample(
    tmp_path: Path, photos: Path, kept: list[float], stop_at: int
) -> None:
    class StopInWarmUp(Stop):
        """Asks to stop after so many steps of the warm-up."""

        def requested(self) -> bool:
            log = list(tmp_path.glob(f"work/stage-*/{METRICS}"))
            return bool(log) and len(log[0].read_text().splitlines()) >= stop_at

    changes = {**VIEWS, "augmentation.views": 3}
    with pytest.raises(Interrupted, match=f"stopped after {stop_at} of 6"):
        Trained(tmp_path, photos, changes).warm_up(StopInWarmUp())
    assert losses(Trained(tmp_path, photos, changes).warm_up()) == kept


def viewed(artifacts: Iterable[Artifact]) -> set[str]:
    """The kinds whose keys speak of views."""
    return {each.kind for each in artifacts if "augmentation" in each.identity["fields"]}


def test_no_key_speaks_of_views_where_there_are_none() -> None:
    for profile in ("smoke", "cpu"):
        assert not viewed(planned({}, profile).artifacts)


def test_the_views_are_part_of_every_training_and_of_no_evaluation() -> None:
    plain = planned({"augmentation.views": 1})
    assert set(plain.artifacts) == set(planned({}).artifacts), "one view is the center crop"
    changed = planned({**VIEWS, "augmentation.views": 2})
    assert viewed(changed.artifacts) == {"classifier", "judge", "teacher", "codes", "stage"}
    assert not set(changed.artifacts) & set(plain.artifacts)


def test_the_papers_codes_are_of_the_view_at_hand_and_those_of_a_gpu_are_kept() -> None:
    changes = {"data.path": "/somewhere"}
    assert "codes" not in {each.kind for each in planned(changes, "paper").artifacts}
    codes = [each for each in planned(changes, "gpu").artifacts if each.kind == "codes"]
    assert [each.identity["fields"]["augmentation"]["views"] for each in codes] == [4]
