"""Image strips: exact pixels, labels if there are any, and a word where a file is broken."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from experiments.records.results import TableRun
from reports.strips import data_uri, strip_sets

if TYPE_CHECKING:
    from conftest import FakeStore


def _decode(uri: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        return np.asarray(image)


def _examples_path(run: TableRun) -> Path:
    folder = run.rows[0].evaluation.folder
    assert folder is not None
    return folder / "examples.npz"


def test_small_images_are_kept_to_the_pixel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 28, 28), dtype=np.uint8)
    uri = data_uri(images)
    assert uri.startswith("data:image/png;")
    decoded = _decode(uri)
    assert decoded.shape == (28, 3 * 28, 3)
    for index, image in enumerate(images):
        np.testing.assert_array_equal(decoded[:, 28 * index : 28 * (index + 1)], image.transpose(1, 2, 0))


def test_large_images_are_compressed() -> None:
    images = np.full((2, 3, 96, 96), 120, dtype=np.uint8)
    assert data_uri(images).startswith("data:image/jpeg;")
    assert abs(_decode(data_uri(images)).astype(int) - 120).max() <= 2


@pytest.mark.parametrize("shape", [(3, 28, 28), (2, 1, 28, 28), (0, 3, 28, 28)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        data_uri(np.zeros(shape, dtype=np.uint8))
    with pytest.raises(ValueError, match="got float"):
        data_uri(np.zeros((1, 3, 4, 4)))  # type: ignore[arg-type]


def test_every_finished_row_has_strips_at_every_step(fake_store: FakeStore) -> None:
    sets = strip_sets(fake_store.run())
    assert [item.label for item in sets] == ["SFTok-B, ratio 0.5", "SFTok-B, ratio 0.8", "SFTok-B, ratio 1.0"]
    assert [strip.name for strip in sets[0].strips] == ["original", "T=1", "T=2", "T=4", "T=8", "T=16"]
    assert sets[0].columns[:2] == ("T-shirt", "Trouser")
    assert sets[0].pixelated
    assert sets[0].width == 10 * 28 * 2
    assert sets[0].strips[1].alternative.startswith("SFTok-B, ratio 0.5, T=1, 10 images: T-shirt,")
    assert len(strip_sets(fake_store.run(progress="partial"))) == 1
    assert strip_sets(fake_store.run(progress="waiting")) == []


def test_images_without_labels_and_with_the_teachers(fake_store: FakeStore) -> None:
    run = fake_store.run(seeds=(0,))
    images = np.zeros((12, 3, 256, 256), dtype=np.uint8)
    np.savez(_examples_path(run), original=images, teacher=images, T8=images)
    first = strip_sets(run)[0]
    assert first.columns == ()
    assert [strip.name for strip in first.strips] == ["original", "teacher", "T=8"]
    assert not first.pixelated
    assert first.width == 10 * 128


def test_a_broken_file_is_said_not_hidden(fake_store: FakeStore) -> None:
    run = fake_store.run(seeds=(0,))
    path = _examples_path(run)
    path.write_bytes(path.read_bytes()[:200])
    broken, *others = strip_sets(run)
    assert "cannot be read" in broken.problem
    assert not any(item.problem for item in others)
    np.savez(path, something=np.zeros(3))
    assert "cannot be read" in strip_sets(run)[0].problem


def test_damage_at_any_byte_is_said(fake_store: FakeStore) -> None:
    run = fake_store.run(seeds=(0,))
    path = _examples_path(run)
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8), np.uint8)
    np.savez_compressed(path, original=images, T8=images)
    whole = path.read_bytes()
    problems = 0
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        problems += "cannot be read" in strip_sets(run)[0].problem
    assert problems > len(whole) / 7 / 2
