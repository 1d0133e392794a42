"""Files of arrays: all damage is one kind of error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sftok.io.arrays import read_arrays


def test_arrays_come_back(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", left=np.arange(3), right=np.array(["x", "y"]))
    found = read_arrays(tmp_path / "a.npz")
    assert {name: array.tolist() for name, array in found.items()} == {"left": [0, 1, 2], "right": ["x", "y"]}
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "b.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed], ids=["plain", "compressed"])
def test_a_damaged_byte_is_a_value_error_wherever_it_is_noticed(tmp_path: Path, save) -> None:
    path = tmp_path / "a.npz"
    save(path, images=np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8), np.uint8))
    whole = path.read_bytes()
    noticed = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            read_arrays(path)
        except ValueError:
            noticed += 1
    assert noticed > len(whole) / 2


def test_files_of_objects_or_of_one_array_alone_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", objects=np.array([{}], dtype=object))
    np.save(tmp_path / "alone.npy", np.arange(3))
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match="damaged, or not a file of arrays"):
            read_arrays(path)
