"""Saved reconstructions: paired with their originals, or an error that names what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sftok.data.base import MemoryImageSet
from sftok.data.batches import Batch
from sftok.evaluation.subjects.base import SubjectError
from sftok.evaluation.subjects.images import ImagesConfig

NAMES = tuple(f"val/{folder}/{number}.jpg" for number in (10, 9, 2) for folder in "ba")


@pytest.fixture
def originals(make_images) -> MemoryImageSet:
    images = make_images(6)
    return MemoryImageSet("set/test", images.class_names, images.pixels, images.targets, NAMES)


def save(folder: Path, pixels: torch.Tensor, names) -> Path:
    for image, name in zip(pixels, names, strict=True):
        file = (folder / name).with_suffix(".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(file)
    return folder


def given_for(originals: MemoryImageSet, location: Path, **options) -> torch.Tensor:
    """The image that stands for each original."""
    measured = ImagesConfig(location=str(location), **options).open().on(originals).measured
    (decoding,) = measured.decodings(None, "it")
    places = torch.arange(len(originals))
    decoded = decoding.decode(Batch(originals.pixels / 255, originals.targets, places), None)
    return (decoded.images * 255).round().byte()


@pytest.mark.parametrize("drop", ["val/", ""])
def test_a_folder_pairs_by_name_whatever_lies_above(originals, tmp_path, drop: str) -> None:
    folder = save(tmp_path, originals.pixels, [name.removeprefix(drop) for name in NAMES])
    assert torch.equal(given_for(originals, folder), originals.pixels)


def test_names_that_kept_the_extension_of_the_original_pair(originals, tmp_path) -> None:
    for image, name in zip(originals.pixels, NAMES, strict=True):
        save(tmp_path, image[None], [f"{name}.jpg"])
    assert torch.equal(given_for(originals, tmp_path), originals.pixels)


def test_an_array_and_numbered_files_pair_in_the_order_of_the_originals_paths(originals, tmp_path) -> None:
    order = sorted(range(6), key=lambda place: NAMES[place].split("/"))
    assert [NAMES[place] for place in order][:2] == ["val/a/10.jpg", "val/a/2.jpg"]
    np.savez(tmp_path / "all.npz", originals.pixels[order].permute(0, 2, 3, 1).numpy())
    assert torch.equal(given_for(originals, tmp_path / "all.npz"), originals.pixels)
    folder = save(tmp_path / "numbered", originals.pixels[order], [f"{place + 7}" for place in range(6)])
    assert torch.equal(given_for(originals, folder, pair="order"), originals.pixels)


def test_what_is_missing_and_extra_is_named(originals, tmp_path) -> None:
    names = [NAMES[0].replace("10", "11"), *NAMES[1:]]
    folder = save(tmp_path, originals.pixels, names)
    with pytest.raises(SubjectError, match=r"1 missing \(val/b/10\), 1 extra \(val/b/11\)"):
        given_for(originals, folder)
    (folder / names[0]).with_suffix(".png").unlink()
    with pytest.raises(SubjectError, match="has 5 images for 6 originals"):
        given_for(originals, folder, pair="order")


def test_originals_that_differ_only_in_their_extension_have_no_names_to_pair_by(originals, tmp_path) -> None:
    names = ("a.jpg", "a.png", *NAMES[2:])
    twins = MemoryImageSet("set/test", originals.class_names, originals.pixels, originals.targets, names)
    folder = save(tmp_path, originals.pixels[1:], names[1:])
    with pytest.raises(SubjectError, match="not unique; use --pair order"):
        given_for(twins, folder)


def test_exchanged_images_are_named(originals, tmp_path) -> None:
    places = [1, 0, 2, 3, 4, 5]
    folder = save(tmp_path, originals.pixels[places], NAMES)
    with pytest.raises(
        SubjectError, match=r"2 images are paired with the wrong originals: val/b/10\.png looks "
    ):
        given_for(originals, folder)


def test_images_that_resemble_nothing_are_measured_with_a_warning(
    originals, tmp_path, make_images, caplog
) -> None:
    folder = save(tmp_path, make_images(6, seed=5).pixels // 8, NAMES)
    given_for(originals, folder)
    assert "are they paired correctly?" in caplog.text
