"""Images as they are: a folder or an array, of one size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sftok.data.base import DataError
from sftok.data.plain_images import natural, read_plain_images

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images" / "b").mkdir(parents=True)
    for image, name in zip(PIXELS, ["2", "10", "b/1", "b/2"], strict=True):
        Image.fromarray(image).save(tmp_path / "images" / f"{name}.png")
    return tmp_path / "images"


def test_a_folder_and_an_array_give_the_same_images(folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", PIXELS)
    found = read_plain_images(folder)
    assert found.names == ("2.png", "10.png", "b/1.png", "b/2.png")
    everything = torch.arange(4)
    assert torch.equal(found.images(everything), read_plain_images(tmp_path / "a.npz").images(everything))
    assert (found.images(everything).permute(0, 2, 3, 1).numpy() == PIXELS).all()


def test_the_fingerprint_of_an_array_is_of_its_pixels(tmp_path: Path) -> None:
    for name, pixels in (("a", PIXELS), ("b", PIXELS), ("c", PIXELS[::-1])):
        np.savez(tmp_path / f"{name}.npz", pixels)
    one, same, other = (read_plain_images(tmp_path / f"{name}.npz").fingerprint for name in "abc")
    assert one == same != other


def test_images_of_a_reference_are_resized_as_those_of_a_data_set(folder: Path) -> None:
    Image.fromarray(np.tile(PIXELS[0], (1, 2, 1))).save(folder / "wide.png")
    assert read_plain_images(folder, image_size=4).images(torch.arange(5)).shape == (5, 3, 4, 4)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("RGB", (9, 9)), "z.png: is 9 x 9 pixels, but 2.png is 8 x 8; all must have one size"),
        (Image.new("L", (8, 8)), "z.png: is gray, but .*2.png is in color"),
    ],
)
def test_an_image_that_does_not_fit_the_others_is_named(
    folder: Path, image: Image.Image, message: str
) -> None:
    image.save(folder / "z.png")
    with pytest.raises(DataError, match=message):
        read_plain_images(folder)


def test_what_is_no_image_or_no_folder_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "z.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"z\.png: cannot be read as an image"):
        read_plain_images(folder)
    with pytest.raises(DataError, match="no such folder or file"):
        read_plain_images(tmp_path / "elsewhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"0 images .* two are needed"):
        read_plain_images(tmp_path / "empty")


def test_numbers_sort_by_value_and_folders_as_wholes() -> None:
    names = ["a/2", "a b/1", "a/10", "10", "9"]
    assert sorted(names, key=natural) == ["9", "10", "a/2", "a/10", "a b/1"]
