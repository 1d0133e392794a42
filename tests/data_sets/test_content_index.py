from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from sftok.data import content_index
from sftok.data.content_index import Content, Unreadable, examine

OLD = 1_000_000_000 * 10**9
"""A modification time long ago, in nanoseconds."""


def write(file: Path, write_image, seed: int = 0, modified: int = OLD, **options) -> None:
    write_image(file, seed=seed, **options)
    os.utime(file, ns=(modified, modified))


@pytest.fixture
def decodes(monkeypatch) -> list[int]:
    """Grows by one with each file that is decoded."""
    seen: list[int] = []
    decode = content_index.decode
    monkeypatch.setattr(content_index, "decode", lambda data: (seen.append(len(data)), decode(data))[1])
    return seen


def test_a_file_is_hashed_once(tmp_path, write_image, decodes):
    for place in range(100):
        write(tmp_path / f"{place}.png", write_image, seed=place)
    names = [f"{place}.png" for place in range(100)]
    first = examine(tmp_path, names)
    assert [found.sha256 for found in first] == [
        hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in names
    ]
    assert examine(tmp_path, names[::-1]) == first[::-1]
    assert len(decodes) == 100


@pytest.mark.parametrize(
    "change", [{"seed": 1, "modified": OLD + 1}, {"size": (20, 20)}], ids=["time", "size"]
)
def test_a_changed_size_or_time_is_noticed(tmp_path, write_image, decodes, change):
    write(tmp_path / "a.bmp", write_image)
    (first,) = examine(tmp_path, ["a.bmp"])
    before = (tmp_path / "a.bmp").stat()
    write(tmp_path / "a.bmp", write_image, **change)
    after = (tmp_path / "a.bmp").stat()
    assert (before.st_size != after.st_size) != (before.st_mtime_ns != after.st_mtime_ns)
    (second,) = examine(tmp_path, ["a.bmp"])
    assert first.sha256 != second.sha256
    assert len(decodes) == 2


def test_a_file_changed_just_now_is_not_trusted(tmp_path, write_image, decodes):
    write_image(tmp_path / "a.png")
    examine(tmp_path, ["a.png"])
    examine(tmp_path, ["a.png"])
    assert len(decodes) == 2


def test_files_that_cannot_be_read_are_tried_again(tmp_path, write_image):
    (tmp_path / "empty.png").touch()
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    names = ["empty.png", "nowhere.png", "loop.png", "pipe.png"]
    found = examine(tmp_path, names)
    assert all(isinstance(each, Unreadable) for each in found)
    assert [each.problem for each in found] == [
        "the file is empty",
        "No such file or directory",
        "Too many levels of symbolic links",
        "not a regular file",
    ]
    write(tmp_path / "gone.png", write_image)
    assert isinstance(examine(tmp_path, names)[1], Content)


@pytest.mark.parametrize("damage", [b"{", b"[1, 2]\n", b"\xff\xfe", b'["a.png", 1, 2]\n'])
def test_a_damaged_record_is_made_anew(tmp_path, cache, write_image, damage, caplog):
    write(tmp_path / "a.png", write_image)
    expected = examine(tmp_path, ["a.png"])
    (record,) = (cache / "image-folders").iterdir()
    record.write_bytes(damage)
    assert examine(tmp_path, ["a.png"]) == expected
    assert "is damaged" in caplog.text
    caplog.clear()
    assert examine(tmp_path, ["a.png"]) == expected
    assert not caplog.text


def test_without_a_cache_it_still_works(tmp_path, cache, write_image, caplog):
    write(tmp_path / "a.png", write_image)
    cache.write_text("a file in the way")
    assert isinstance(examine(tmp_path, ["a.png"])[0], Content)
    assert "cannot keep" in caplog.text


def test_work_is_saved_on_the_way(tmp_path, write_image, monkeypatch):
    monkeypatch.setattr(content_index, "CHUNK", 2)
    monkeypatch.setattr(content_index, "SAVE_SECONDS", -1.0)
    for place in range(6):
        write(tmp_path / f"{place}.png", write_image)
    saves = []
    save = content_index._save
    monkeypatch.setattr(
        content_index, "_save", lambda record, known: (saves.append(len(known)), save(record, known))
    )
    examine(tmp_path, [f"{place}.png" for place in range(6)])
    assert saves == [2, 4, 6]


def test_odd_file_names_survive_the_record(tmp_path, write_image, decodes):
    names = ["a\nb\t'\".png", "ü.png", os.fsdecode(b"\xff.png")]
    for name in names:
        write(tmp_path / name, write_image)
    assert examine(tmp_path, names) == examine(tmp_path, names)
    assert len(decodes) == 3
