"""ADM's `.npz`: mapped, never unpickled, and refused with a remedy if it is of another layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sftok.data.base import DataError
from sftok.data.npz import array_names, images_of, read_array

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_what_numpy_wrote_is_read(tmp_path: Path, write) -> None:
    write(tmp_path / "a.npz", IMAGES, mu=np.arange(3.0))
    found = images_of(tmp_path / "a.npz")
    assert (found == IMAGES).all()
    assert isinstance(found, np.memmap) == (write is np.savez)
    assert sorted(array_names(tmp_path / "a.npz")) == ["arr_0", "mu"]
    assert read_array(tmp_path / "a.npz", "mu").tolist() == [0.0, 1.0, 2.0]


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", np.array([{}, {}], dtype=object))
    with pytest.raises(DataError, match="holds Python objects, which are never unpickled"):
        images_of(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (IMAGES.transpose(0, 3, 1, 2), r"channels first; .*transpose\(0, 2, 3, 1\)"),
        (IMAGES / 255, "float64 .* must be uint8 from 0 to 255"),
        (IMAGES[..., 0], r"must be square images, uint8 \[N, H, W, 3\]"),
        (IMAGES[:, :6], "must be square images"),
        (IMAGES[:1], "at least two images"),
    ],
)
def test_another_layout_is_refused_with_the_remedy(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.savez(tmp_path / "a.npz", array)
    with pytest.raises(DataError, match=message):
        images_of(tmp_path / "a.npz")


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        images_of(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"not a .npz file"):
        images_of(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", mu=np.arange(3))
    with pytest.raises(DataError, match="has no array arr_0, only mu"):
        images_of(tmp_path / "b.npz")


def test_a_damaged_compressed_array_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, np.arange(4000, dtype=np.uint8).reshape(-1, 10, 10, 4))
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        read_array(path, "arr_0")
