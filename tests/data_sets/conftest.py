"""Tests of `sftok.data` (`tests/data` holds files); each has its own cache instead of the user's."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from data_sets.small_shards import samples, write_tar
from PIL import Image

from sftok.data import fashion_mnist
from sftok.data.cache import user_cache
from sftok.data.make_shards import ShardingConfig, write_shards

# Looked up now, before the fixture below hides the real cache.
_CANDIDATES = [
    Path(os.environ.get(fashion_mnist.ENVIRONMENT_VARIABLE) or fashion_mnist.DEBIAN_FOLDER),
    fashion_mnist.DEBIAN_FOLDER,
    user_cache() / "fashion-mnist",
]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.delenv(fashion_mnist.ENVIRONMENT_VARIABLE, raising=False)
    return folder / "sftok"


@pytest.fixture(scope="session")
def real_fashion_mnist() -> Path:
    """The real files, if they are on this machine."""
    for folder in _CANDIDATES:
        if all((folder / name).is_file() for name in fashion_mnist.CONTENT_SHA256):
            return folder
    pytest.skip("Fashion-MNIST is not on this machine")


def save_image(file: Path, seed: int = 0, size: tuple[int, int] = (9, 7), **options) -> Path:
    """An RGB image of noise (width, height) at `file`, whose folder is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, **options)
    return file


@pytest.fixture
def write_image():
    return save_image


@pytest.fixture
def plain_folder(tmp_path) -> Path:
    """`PATH/<class>/`: cat with 12 images, dog with 5."""
    root = tmp_path / "animals"
    for name, count in (("dog", 5), ("cat", 12)):
        for place in range(count):
            save_image(root / name / f"{place:02}.png", seed=place)
    return root


@pytest.fixture
def foreign(tmp_path) -> Path:
    """Two training shards of 6 and 4 images of 3 classes, one to test on; no `dataset.json`."""
    root = tmp_path / "foreign"
    write_tar(root / "train-0000.tar", samples(0, 6))
    write_tar(root / "train-0001.tar", [*samples(6, 4, "jpg"), ("0006.json", b"{}")])
    write_tar(root / "val-0000.tar", samples(100, 3, "webp"))
    return root


@pytest.fixture
def made(plain_folder, tmp_path) -> Path:
    """The shards of `plain_folder`."""
    write_shards(plain_folder, tmp_path / "made", ShardingConfig(images_per_shard=4))
    return tmp_path / "made"
