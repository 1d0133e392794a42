"""Folders of images, and what is cached of their content."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sftok.config import ConfigError
from sftok.data import DataConfig, DataError, encoded, image_folder, load, ordered_batches
from sftok.data.image_folder import ImageFolder, examine
from sftok.data.transforms import pixels

OLD = 1_000_000_000 * 10**9
"""A modification time long ago, in nanoseconds."""


def folder(root, **changes) -> DataConfig:
    return DataConfig(source="folder", path=str(root), **{"image_size": 8, **changes})


@pytest.fixture
def train(plain_folder) -> ImageFolder:
    return load(folder(plain_folder), "train")


def test_images_and_labels_are_those_of_the_files(plain_folder, train):
    assert len(train) == 15
    assert train.class_names == ("cat", "dog")
    assert train.num_classes == 2
    assert train.name == "animals/train"
    everything = torch.arange(15)
    images, labels = train.images(everything), train.labels(everything)
    assert images.shape == (15, 3, 8, 8)
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    for image, label, file in zip(images, labels.tolist(), train.names, strict=True):
        assert file.startswith(train.class_names[label])
        expected = pixels((plain_folder / file).read_bytes(), 8)
        assert torch.equal(image, torch.from_numpy(expected).permute(2, 0, 1))


def test_splits_are_disjoint_and_complete(plain_folder):
    config = folder(plain_folder, validation_images=4)
    files = [load(config, split).names for split in ("train", "validation", "test")]
    assert [len(part) for part in files] == [11, 4, 2]
    assert len(set().union(*files)) == 17


def test_lazy_and_eager_reading_agree(train):
    lazy = replace(train, memory_budget=0)
    indices = torch.tensor([3, 0, 3, 14])
    assert torch.equal(train.images(indices), lazy.images(indices))
    assert lazy.images(indices).is_contiguous()
    assert [len(batch.images) for batch in ordered_batches(lazy, 6)] == [6, 6, 3]


@pytest.mark.parametrize(
    ("rates", "cores", "chosen"),
    [
        ([100, 180, 185, 400], 32, 4),  # 8 threads gain less than a tenth: 16 are not tried
        ([100, 90], 32, 2),
        ([100, 200, 400, 800], 4, 8),  # twice as many as there are cores, at most
    ],
)
def test_threads_are_added_as_long_as_they_decode_faster(train, monkeypatch, caplog, rates, cores, chosen):
    tried = iter(rates)
    ends = (end for rate in tried for end in (0.0, 1 / rate))
    monkeypatch.setattr(encoded, "MEASURED_IMAGES", 1)
    monkeypatch.setattr(encoded.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(encoded.time, "perf_counter", lambda: next(ends))
    with caplog.at_level(logging.INFO):
        assert train.threads == chosen
    best = rates[encoded.CANDIDATES.index(chosen)]
    assert f"{chosen} threads decode {best} images a second" in caplog.text


def test_the_number_of_decoding_threads_is_measured_once_and_changes_no_pixel(train, monkeypatch, caplog):
    small = replace(train, memory_budget=0)
    places = torch.arange(len(small))
    expected = small.images(places)
    assert small.threads == encoded.THREADS, "too few images to measure anything"
    monkeypatch.setattr(encoded, "MEASURED_IMAGES", 2)
    measured = replace(train, memory_budget=0)
    with caplog.at_level(logging.INFO):
        assert torch.equal(measured.images(places), expected)
        assert torch.equal(measured.images(places), expected)
    assert measured.threads in encoded.CANDIDATES
    assert sum("threads decode" in record.getMessage() for record in caplog.records) == 1


def test_returned_images_are_copies(train):
    before = train.images(torch.arange(3)).clone()
    train.images(torch.arange(3)).zero_()
    assert torch.equal(train.images(torch.arange(3)), before)


def test_the_fingerprint_depends_on_content_size_and_names(plain_folder, train, write_image):
    config = folder(plain_folder)
    prints = {train.fingerprint}
    assert load(config, "train").fingerprint == train.fingerprint
    for other, split in ((folder(plain_folder, image_size=9), "train"), (config, "test")):
        prints.add(load(other, split).fingerprint)
    file = plain_folder / train.names[4]
    write_image(file, seed=999)
    prints.add(load(config, "train").fingerprint)
    file.rename(file.with_name("renamed.png"))
    prints.add(load(config, "train").fingerprint)
    assert len(prints) == 5


def test_the_fingerprint_does_not_depend_on_place_or_time(plain_folder, train):
    for file in plain_folder.rglob("*.png"):
        os.utime(file, (0, 0))
    moved = plain_folder.rename(plain_folder.with_name("moved"))
    assert load(folder(moved), "train").fingerprint == train.fingerprint


def test_an_unreadable_file_is_fatal_by_default(plain_folder):
    (plain_folder / "cat" / "05.png").write_bytes(b"")
    (plain_folder / "dog" / "01.png").write_bytes(b"not an image")
    with pytest.raises(DataError) as caught:
        load(folder(plain_folder, unreadable="fatal"), "train")
    message = str(caught.value)
    assert "2 of 15 image files cannot be read, the first is" in message
    assert "05.png: the file is empty" in message or "01.png: not one of the formats" in message
    assert "data.unreadable = 'skip'" in message
    assert "\n" not in message


def test_an_unreadable_file_can_be_skipped_and_is_named(plain_folder, caplog):
    config = folder(plain_folder, unreadable="skip", validation_images=3)
    whole = {split: load(config, split).names for split in ("train", "validation")}
    (plain_folder / "cat" / "05.png").write_bytes(b"")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        left = {split: load(config, split) for split in ("train", "validation")}
    for split, files in whole.items():
        assert left[split].names == tuple(file for file in files if file != "cat/05.png")
        assert left[split].images(torch.arange(len(left[split]))).shape[0] == len(left[split].names)
    (record,) = caplog.records
    assert record.message == f"skipped {plain_folder / 'cat' / '05.png'}: the file is empty"


def test_a_set_without_a_readable_file_is_an_error(plain_folder):
    for file in plain_folder.rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the 15 image files .* can be read"):
        load(folder(plain_folder, unreadable="skip"), "train")


def test_a_limited_set_has_every_class_and_reads_only_what_it_needs(plain_folder):
    image_set = load(folder(plain_folder, limit=2), "train")
    assert sorted(image_set.labels(torch.arange(2)).tolist()) == [0, 1]
    for file in plain_folder.rglob("*.png"):
        if file.relative_to(plain_folder).as_posix() not in image_set.names:
            file.write_bytes(b"")
    assert load(folder(plain_folder, limit=2), "train").fingerprint == image_set.fingerprint


@pytest.mark.parametrize("budget", [0, 2**30])
def test_a_file_that_is_removed_after_loading_is_named(plain_folder, train, budget):
    image_set = replace(train, memory_budget=budget)
    (plain_folder / image_set.names[2]).unlink()
    with pytest.raises(DataError, match=rf"{image_set.names[2]} has changed since it was loaded \(.*restore"):
        image_set.images(torch.tensor([2]))


@pytest.mark.parametrize("split", ["train", "test"])
def test_one_class_is_refused(tmp_path, write_image, split):
    for number in range(3):
        write_image(tmp_path / "photos" / f"{number}.png")
    with pytest.raises(DataError, match=r"only one class, .photos., but two are needed; set data.path"):
        load(folder(tmp_path), split)


@pytest.mark.parametrize(
    ("source", "path", "error", "message"),
    [
        ("folder", None, DataError, "no path is set"),
        ("folder", "nowhere", DataError, "does not exist; set data.path"),
        ("folder", "file.zip", DataError, "is not a folder; set data.path"),
        ("folders", ".", ConfigError, r"did you mean 'folder'\? choices: fashion-mnist, folder"),
    ],
)
def test_a_source_or_path_that_cannot_be_used(tmp_path, source, path, error, message):
    (tmp_path / "file.zip").touch()
    with pytest.raises(error, match=message):
        load(DataConfig(source=source, path=path and str(tmp_path / path)), "train")


# What is cached.


def write(file: Path, write_image, seed: int = 0, modified: int = OLD, **options) -> None:
    write_image(file, seed=seed, **options)
    os.utime(file, ns=(modified, modified))


@pytest.fixture
def decodes(monkeypatch) -> list[int]:
    """Grows by one with each file that is decoded."""
    seen: list[int] = []
    decode = image_folder.decode
    monkeypatch.setattr(image_folder, "decode", lambda data: (seen.append(len(data)), decode(data))[1])
    return seen


def test_a_file_is_hashed_once_whatever_its_name(tmp_path, write_image, decodes):
    names = [f"{place}.png" for place in range(100)] + ["a\nb\t'\".png", "ü.png", os.fsdecode(b"\xff.png")]
    for place, name in enumerate(names):
        write(tmp_path / name, write_image, seed=place)
    first = examine(tmp_path, names)
    assert [found.digest for found in first] == [
        hashlib.sha256((tmp_path / name).read_bytes()).digest() for name in names
    ]
    assert examine(tmp_path, names[::-1]) == first[::-1]
    assert len(decodes) == len(names)


@pytest.mark.parametrize(
    "change", [{"seed": 1, "modified": OLD + 1}, {"size": (20, 20)}], ids=["time", "size"]
)
def test_a_changed_size_or_time_is_noticed(tmp_path, write_image, decodes, change):
    write(tmp_path / "a.bmp", write_image)
    (first,) = examine(tmp_path, ["a.bmp"])
    write(tmp_path / "a.bmp", write_image, **change)
    (second,) = examine(tmp_path, ["a.bmp"])
    assert (first.size != second.size) != (first.modified != second.modified)
    assert first.digest != second.digest
    assert len(decodes) == 2


def test_a_file_that_changed_just_now_is_not_cached(tmp_path, write_image, decodes):
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
    assert examine(tmp_path, names) == [
        "the file is empty",
        "No such file or directory",
        "Too many levels of symbolic links",
        "not a regular file",
    ]
    write(tmp_path / "gone.png", write_image)
    assert not isinstance(examine(tmp_path, names)[1], str)


@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda content: b"\xff" + content[1:]])
def test_a_damaged_cache_is_made_again(tmp_path, cache, write_image, damage, caplog):
    write(tmp_path / "a.png", write_image)
    expected = examine(tmp_path, ["a.png"])
    (table,) = (cache / "image-folders").iterdir()
    table.write_bytes(damage(table.read_bytes()))
    assert examine(tmp_path, ["a.png"]) == expected
    assert "the images are examined again" in caplog.text
    caplog.clear()
    assert examine(tmp_path, ["a.png"]) == expected
    assert not caplog.text


def test_without_a_cache_it_still_works(tmp_path, cache, write_image, caplog):
    write(tmp_path / "a.png", write_image)
    cache.write_text("a file in the way")
    assert not isinstance(examine(tmp_path, ["a.png"])[0], str)
    assert "cannot write to the cache" in caplog.text


def test_long_work_is_saved_in_between(tmp_path, write_image, monkeypatch):
    monkeypatch.setattr(image_folder, "_PART", 2)
    monkeypatch.setattr(image_folder, "SAVE_SECONDS", -1.0)
    for place in range(6):
        write(tmp_path / f"{place}.png", write_image)
    saves = []
    monkeypatch.setattr(image_folder, "cache_table", lambda table, names, *rest: saves.append(len(names)))
    examine(tmp_path, [f"{place}.png" for place in range(6)])
    assert saves == [2, 4, 6]
