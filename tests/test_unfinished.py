"""Names of what is being written: hidden, unique, never too long, found again by the clearing."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sftok.unfinished import clear_unfinished, unfinished


@pytest.mark.parametrize(
    "name", ["a.png", "x" * 251 + ".png", "图" * 83 + ".png", os.fsdecode(b"\xff" * 255)]
)
def test_whatever_has_a_name_can_be_written_beside_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    first, second = unfinished(path), unfinished(path)
    assert first != second
    assert first.parent == tmp_path
    first.write_bytes(b"x")
    first.replace(path)
    assert [found.name for found in tmp_path.iterdir()] == [name]


def test_what_is_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    for name in ("kept", "x" * 255):
        unfinished(tmp_path / name).mkdir()
    (tmp_path / "kept").write_text("")
    fresh = unfinished(tmp_path / "fresh")
    fresh.write_text("")
    for left in tmp_path.glob(".*.tmp"):
        if left != fresh:
            os.utime(left, (time.time() - 1000,) * 2)
    clear_unfinished(tmp_path, older_than=500)
    assert {path.name for path in tmp_path.iterdir()} == {"kept", fresh.name}
    clear_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"kept"}
