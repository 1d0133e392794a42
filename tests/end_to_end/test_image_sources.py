"""Photos in class folders and the shards made of them are one data set: the same artifacts and numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.commands.options import PlanOptions
from experiments.commands.plans import plan_all
from experiments.executors.inline import Runner
from experiments.paper import figure8
from experiments.planning.plan import Plan
from experiments.store import Measured, Store
from sftok.data import DataError, make_shards

# The views, the sizes and the layout of the paper profile, at a scale of seconds.
SETTINGS = {
    "data.image_size": 64,
    "data.limit": 24,
    "data.validation_images": 4,
    "augmentation.random_crop": True,
    "augmentation.flip": True,
    "augmentation.views": 2,
    "tokenizer.encoder.patch_size": 16,
    "teacher.training.batch_size": 8,
    "stage1.training.batch_size": 8,
    "stage2.training.batch_size": 8,
    "evaluation.steps": [1, 2],
    "evaluation.extractors": [{"name": "efficientnet-lite0", "resolution": 48}],
    "evaluation.primary_extractor": "efficientnet-lite0@48",
}


def save_photo(file: Path, seed: int) -> None:
    """Something smooth with an edge, of a camera's odd sizes: JPEG, or now and then a grey PNG."""
    draws = np.random.default_rng(seed)
    width, height = (int(side) for side in draws.integers(256, 400, 2))
    across, down = np.linspace(0, 1, width), np.linspace(0, 1, height)[:, None]
    waves = [np.sin(draws.uniform(2, 12) * across + draws.uniform(2, 12) * down) for _ in range(3)]
    pixels = np.stack(waves, -1) * 100 + 128
    pixels[: height // 3, : width // 2] = draws.integers(0, 256, 3)
    image = Image.fromarray(pixels.astype(np.uint8))
    file.parent.mkdir(parents=True, exist_ok=True)
    if seed % 5 == 0:
        image.convert("L").save(file.with_suffix(".png"))
    else:
        image.save(file.with_suffix(".jpg"), quality=90)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`train/<class>/` and `val/<class>/`, 40 photos of four classes."""
    root = tmp_path_factory.mktemp("photos")
    for seed in range(40):
        split = "val" if seed % 10 < 3 else "train"
        save_photo(root / split / f"n0{seed // 10}" / f"photo_{seed}", seed)
    return root


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """The same photos as `python -m sftok.data.make_shards` leaves them."""
    out = tmp_path_factory.mktemp("shards") / "out"
    assert make_shards.main([str(photos), str(out), "--images-per-shard", "9"]) == 0
    return out


def executed(data: Path, store: Store) -> Plan:
    options = PlanOptions(profile="smoke", data=data, overrides=tuple(SETTINGS.items()))
    (plan,), sets = plan_all(options, [figure8.EXPERIMENT])
    store.prepare()
    assert Runner(store, sets.load).run(plan.artifacts) == {}
    return plan


def numbers(plan: Plan, store: Store) -> dict[str, Sequence[Measured]]:
    results = {row.evaluation.label: store.result(row.evaluation) for row in plan.rows}
    return {label: result.rows for label, result in results.items() if result}


def test_folders_and_shards_give_equal_numbers(tmp_path: Path, photos: Path, shards: Path) -> None:
    assert len(list(shards.glob("train-*.tar"))) == 4
    stores = Store(tmp_path / "folder"), Store(tmp_path / "shards")
    plans = [executed(data, store) for data, store in zip((photos, shards), stores, strict=True)]
    assert [plan.recipe.data.source for plan in plans] == ["folder", "shards"]
    assert plans[0].artifacts == plans[1].artifacts
    found, expected = (numbers(plan, store) for plan, store in zip(plans, stores, strict=True))
    assert found == expected
    assert len(found) == 2
    assert all(len(rows) >= 2 * 4 for rows in found.values())


def test_a_shard_that_is_cut_is_refused_before_anything_is_made(tmp_path: Path, shards: Path) -> None:
    cut = tmp_path / "cut"
    cut.mkdir()
    for file in shards.iterdir():
        content = file.read_bytes()
        (cut / file.name).write_bytes(
            content[: len(content) // 2] if file.name == "train-000001.tar" else content
        )
    with pytest.raises(DataError, match=r"train-000001\.tar"):
        executed(cut, Store(tmp_path / "store"))
    assert not (tmp_path / "store").exists()


def test_the_paper_profile_asks_for_missing_weights_first(tmp_path: Path, photos: Path) -> None:
    command = [sys.executable, "-m", "experiments", "run", "table4", "--profile", "paper"]
    store = tmp_path / "store"
    more = [
        "--data",
        str(photos),
        "--store",
        str(store),
        "--set",
        "device=cpu",
        "--set",
        "data.validation_images=4",
    ]
    done = subprocess.run(
        [*command, *more],
        capture_output=True,
        text=True,
        env={**os.environ, "TORCH_HOME": str(tmp_path / "empty"), "XDG_CACHE_HOME": str(tmp_path / "cache")},
    )
    assert done.returncode == 2
    assert "inception-v3-compat: no weights at" in done.stderr.splitlines()[-1]
    assert "fetch https://" in done.stderr.splitlines()[-1]
    assert not store.exists()
