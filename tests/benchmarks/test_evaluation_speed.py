"""What bounds an evaluation: reading JPEGs, the model, or features; images per second of each apart."""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture
from small_models import seeded

from sftok.data.image_folder import ImageFolder
from sftok.data.plain_images import read_plain_images
from sftok.data.transforms import THREADS
from sftok.evaluation.extractors.efficientnet_lite0 import EfficientNetLite0Config
from sftok.tokenizers.hub import open_tokenizer

COUNT, SIDE, BATCH, FEW = 400, 256, 50, 2


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> ImageFolder:
    """JPEGs of 256 pixels, decoded batch by batch as a large set is."""
    folder = tmp_path_factory.mktemp("photos")
    draws = np.random.default_rng(0)
    for number in range(COUNT):
        coarse = Image.fromarray(draws.integers(0, 256, (24, 24, 3), np.uint8))
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=90)
    found = read_plain_images(folder)
    assert isinstance(found, ImageFolder)
    return dataclasses.replace(found, memory_budget=0)


def note_speed(benchmark: BenchmarkFixture, images: int) -> None:
    if benchmark.stats is not None:
        benchmark.extra_info["images per second"] = round(images / benchmark.stats.stats.min, 2)


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def test_reading_and_decoding(benchmark: BenchmarkFixture, photos: ImageFolder) -> None:
    """Against what Pillow gives on the same cores, hashing included: at least nine tenths are wanted."""

    def one(name: str) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO((photos.root / name).read_bytes())).convert("RGB"))

    def pillow() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            for start in range(0, COUNT, BATCH):
                np.stack(list(pool.map(one, photos.names[start : start + BATCH])))

    def read() -> None:
        for places in torch.arange(COUNT).split(BATCH):
            photos.images(places)

    theirs: list[float] = []
    # Alternately: whatever else the machine does slows both.
    benchmark.pedantic(read, setup=lambda: theirs.append(seconds(pillow)), rounds=7, warmup_rounds=1)
    note_speed(benchmark, COUNT)
    if benchmark.stats is not None:
        benchmark.extra_info["share of Pillow"] = round(min(theirs) / benchmark.stats.stats.min, 3)


def test_features(benchmark: BenchmarkFixture) -> None:
    extractor = EfficientNetLite0Config(resolution=224).build()
    pixels = torch.randint(256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8, generator=seeded())
    benchmark.pedantic(extractor, (pixels,), rounds=3, warmup_rounds=1)
    note_speed(benchmark, BATCH)


@pytest.mark.slow
def test_encoding_and_decoding(benchmark: BenchmarkFixture) -> None:
    """A 64-token tokenizer of the released size; untrained weights take the same time."""
    tokenizer = open_tokenizer("random:titok-b64")
    images = torch.rand(FEW, 3, SIDE, SIDE, generator=seeded())

    def reconstruct() -> None:
        with torch.inference_mode():
            tokenizer.decode(tokenizer.encode(images))

    benchmark.pedantic(reconstruct, rounds=2, warmup_rounds=1)
    note_speed(benchmark, FEW)
