"""Atomic writing, and the temporary names: hidden, unique, never too long, cleared later."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sftok.io.unfinished import atomic, clear_unfinished, unfinished, write_text


@pytest.mark.parametrize(
    "name", ["a.png", "x" * 251 + ".png", "图" * 83 + ".png", os.fsdecode(b"\xff" * 255)]
)
def test_any_name_has_a_temporary_one(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    first, second = unfinished(path), unfinished(path)
    assert first != second
    assert first.parent == tmp_path
    first.write_bytes(b"x")
    first.replace(path)
    assert [found.name for found in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("flush", [True, False])
def test_a_file_appears_complete_or_stays_as_it_was(tmp_path: Path, flush: bool) -> None:
    def write_half() -> None:
        with atomic(path, flush=flush) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    path = tmp_path / "page.html"
    write_text(path, "old", flush=flush)
    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "old"
    write_text(path, "new", flush=flush)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_only_what_killed_writers_left_is_cleared(tmp_path: Path) -> None:
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
