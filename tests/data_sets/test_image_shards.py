"""Shards as WebDataset writes them, made by `sftok` and by other tools."""

from __future__ import annotations

import io
import json
import logging
import os
import tarfile
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sftok.data import AugmentationConfig, DataConfig, DataError, load, ordered_batches, training_batches
from sftok.data import shard_index as shard_index_module
from sftok.data.make_shards import ShardingConfig, write_shards
from sftok.data.shard_index import beside, index_of

Members = list[tuple[str, bytes]]


def shards(root: Path, **changes) -> DataConfig:
    return DataConfig(path=str(root), **{"source": "shards", "image_size": 6, **changes})


def folder(root: Path, **changes) -> DataConfig:
    return shards(root, source="folder", **changes)


def encoded(seed: int, extension: str = "png") -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, {"jpg": "JPEG"}.get(extension, extension.upper()))
    return file.getvalue()


def samples(first: int, count: int, extension: str = "png") -> Members:
    members: Members = []
    for number in range(first, first + count):
        members += [(f"{number:04}.{extension}", encoded(number, extension))]
        members += [(f"{number:04}.cls", str(number % 3).encode())]
    return members


def dotted(count: int) -> Members:
    return [(name.replace(".", ".v2."), content) for name, content in samples(10, count)]


def write_tar(path: Path, members: Members) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    os.utime(path, (10**9, 10**9))
    return path


@pytest.fixture
def foreign(tmp_path) -> Path:
    """Two training shards of 6 and 4 images of 3 classes, one to test on; no `dataset.json`."""
    root = tmp_path / "foreign"
    write_tar(root / "train-0000.tar", samples(0, 6))
    write_tar(root / "train-0001.tar", [*samples(6, 4, "jpg"), ("0006.json", b"{}")])
    write_tar(root / "val-0000.tar", samples(100, 3, "webp"))
    return root


@pytest.fixture
def made(plain_folder, tmp_path) -> Path:
    """The shards of `plain_folder`."""
    write_shards(plain_folder, tmp_path / "made", ShardingConfig(images_per_shard=4))
    return tmp_path / "made"


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_shards_equal_the_folder_they_were_made_from(plain_folder, made, split):
    ours, theirs = (
        load(config, split)
        for config in (shards(made, validation_images=4), folder(plain_folder, validation_images=4))
    )
    everything = torch.arange(len(theirs))
    assert len(ours) == len(theirs)
    assert ours.class_names == theirs.class_names == ("cat", "dog")
    assert torch.equal(ours.images(everything), theirs.images(everything))
    assert torch.equal(ours.labels(everything), theirs.labels(everything))
    assert ours.fingerprint == theirs.fingerprint


def test_resized_shards_have_the_pixels_of_the_folder_in_every_view(plain_folder, tmp_path):
    write_shards(plain_folder, tmp_path / "small", ShardingConfig(images_per_shard=5, size=6))
    ours, theirs = load(shards(tmp_path / "small"), "train"), load(folder(plain_folder), "train")
    views = AugmentationConfig(random_crop=True, flip=True, views=2)
    for first, second in zip(
        islice(training_batches(ours, 4, seed=5, augmentation=views), 8),
        islice(training_batches(theirs, 4, seed=5, augmentation=views), 8),
        strict=True,
    ):
        assert torch.equal(first.images, second.images)
        assert torch.equal(first.labels, second.labels)
    assert ours.fingerprint != theirs.fingerprint


def test_shards_made_by_another_tool(foreign):
    train, test = load(shards(foreign), "train"), load(shards(foreign), "test")
    assert (len(train), len(test)) == (10, 3)
    assert train.class_names == test.class_names == ("0", "1", "2")
    assert train.name == "foreign/train"
    numbers = [int(train.names[place].removesuffix(".png").removesuffix(".jpg")) for place in range(10)]
    assert sorted(numbers) == list(range(10))
    assert train.labels(torch.arange(10)).tolist() == [number % 3 for number in numbers]
    assert next(ordered_batches(train, 3)).images.shape == (3, 3, 6, 6)
    everything = torch.arange(10)
    assert torch.equal(replace(train, memory_budget=0).images(everything), train.images(everything))


@pytest.mark.parametrize(
    ("train", "held_out"),
    [
        ("train/0.tar", "val/0.tar"),
        ("train/0.tar", "validation/0.tar"),
        ("imagenet1k-train-0000.tar", "imagenet1k-validation-00.tar"),
        ("train.tar", "test.tar"),
    ],
)
def test_layouts(tmp_path, train, held_out):
    write_tar(tmp_path / train, samples(0, 6))
    write_tar(tmp_path / held_out, samples(10, 3))
    assert [len(load(shards(tmp_path), split)) for split in ("train", "test")] == [6, 3]


def test_a_shard_is_read_through_once_and_again_when_it_changed(foreign, monkeypatch):
    before = load(shards(foreign), "train")
    built: list[Path] = []
    build = shard_index_module.build_index
    monkeypatch.setattr(
        shard_index_module, "build_index", lambda shard: (built.append(shard), build(shard))[1]
    )
    assert load(shards(foreign), "train").fingerprint == before.fingerprint
    assert not built
    changed = write_tar(foreign / "train-0001.tar", samples(6, 5, "jpg"))
    os.utime(changed, (10**9 + 1, 10**9 + 1))
    after = load(shards(foreign), "train")
    assert built == [changed]
    assert len(after) == 11
    assert after.fingerprint != before.fingerprint


def test_other_labels_in_a_shard_of_the_same_size_are_noticed(made):
    before = load(shards(made), "train")
    shard = made / "train-000001.tar"
    with tarfile.open(shard) as tar:
        label = next(member for member in tar.getmembers() if member.name.endswith(".cls"))
        old = int(tar.extractfile(label).read())
    with shard.open("r+b") as file:
        file.seek(label.offset_data)
        file.write(b"%d" % (1 - old))
    later = beside(shard).stat().st_mtime_ns + 1
    os.utime(shard, ns=(later, later))
    after = load(shards(made), "train")
    assert after.fingerprint != before.fingerprint


def test_a_damaged_index_is_made_again(foreign, cache, caplog):
    before = load(shards(foreign), "train").fingerprint
    for record in (cache / "image-shards").iterdir():
        content = bytearray(record.read_bytes())
        content[-1] ^= 1
        record.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert load(shards(foreign), "train").fingerprint == before
    assert "the images are examined again" in caplog.text


def test_a_moved_set_keeps_its_index_and_fingerprint(made, monkeypatch):
    before = load(shards(made), "train").fingerprint
    moved = made.rename(made.with_name("moved"))
    for path in moved.iterdir():
        os.utime(path, (10**9, 10**9))
    monkeypatch.setattr(shard_index_module, "build_index", None)
    assert load(shards(moved), "train").fingerprint == before


@pytest.mark.parametrize("kept", [0.05, 0.37, 0.5, 0.7])
@pytest.mark.parametrize("indexed", [False, True])
def test_a_truncated_shard_is_refused(made, kept, indexed):
    shard = made / "train-000001.tar"
    os.truncate(shard, int(shard.stat().st_size * kept))
    if not indexed:
        beside(shard).unlink()
    with pytest.raises(
        DataError, match=r"train-000001\.tar is truncated, damaged or not a \.tar file .*make it again"
    ):
        load(shards(made), "train")


def flip_bit(path: Path, place: int) -> None:
    """As a disk does it: nobody wrote to the file."""
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    os.utime(path, ns=times)


@pytest.mark.parametrize("damage", [os.truncate, lambda shard, header: flip_bit(shard, header + 1)])
def test_a_shard_that_ends_or_is_damaged_between_members_is_refused(foreign, damage):
    with tarfile.open(foreign / "train-0000.tar") as tar:
        header = tar.getmembers()[4].offset
    damage(foreign / "train-0000.tar", header)
    with pytest.raises(DataError, match=f"it breaks off at byte {header}"):
        load(shards(foreign), "train")


@pytest.mark.parametrize("padding", [0, 10 * tarfile.RECORDSIZE])
@pytest.mark.parametrize("after", [None, b"anything"])
def test_data_after_the_end_mark_is_refused(tmp_path, padding, after):
    first, second = (
        write_tar(tmp_path / f"{start}.tar", samples(start, 10)).read_bytes() for start in (0, 10)
    )
    (tmp_path / "train-000000.tar").write_bytes(first + bytes(padding) + (after or second))
    with pytest.raises(
        DataError, match=r"train-000000\.tar continues after its end mark at byte \d+, .* apart"
    ):
        load(shards(tmp_path), "train")


def test_padding_after_the_end_mark_is_accepted(tmp_path):
    shard = write_tar(tmp_path / "train-0.tar", samples(0, 4))
    shard.write_bytes(shard.read_bytes() + bytes(3 * 2**20))
    assert len(load(shards(tmp_path), "train")) == 4


@pytest.mark.parametrize("budget", [0, 2**30])
def test_a_flipped_bit_of_an_image_is_found_when_it_is_read(made, budget):
    found = replace(load(shards(made), "train"), memory_budget=budget)
    flip_bit(found.shards[found.shard[3]], int(found.entries["offset"][3] + found.entries["size"][3] // 2))
    with pytest.raises(DataError, match=r"does not match the shard's index .its content has changed"):
        found.images(torch.tensor([3]))
    with pytest.raises(DataError, match="its content has changed"):
        load(shards(made), "train").images(torch.arange(len(found)))


def test_a_shard_that_is_removed_or_truncated_after_loading_is_named(foreign):
    found = replace(load(shards(foreign), "train"), memory_budget=0)
    os.truncate(foreign / "train-0000.tar", 100)
    (foreign / "train-0001.tar").unlink()
    for place in range(10):
        with pytest.raises(DataError, match="restore the shard"):
            found.images(torch.tensor([place]))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([*samples(0, 3), *samples(1, 1)], "has the key '0001' twice"),
        ([*samples(0, 3), ("0001.jpg", encoded(1, "jpg"))], "has the key '0001' twice"),
        (
            [*samples(0, 3), ("0009.png", encoded(9))],
            r"the image '0009' has no label; add a member 0009\.cls",
        ),
        (
            dotted(4),
            r"4 images have a second dot in their names, such as 0010\.v2\.png: in WebDataset its key",
        ),
        ([*samples(0, 3), *dotted(2)], "2 images have a second dot in their names"),
        ([*samples(0, 3), ("0009.cls", b"1")], "the label '0009' has no image"),
        ([*samples(0, 3), ("9.png", encoded(9)), ("9.cls", b"cat")], "the class of '9' is 'cat'"),
        ([*samples(0, 3), ("9.png", encoded(9)), ("9.cls", b"-1")], "the class of '9' is '-1'"),
        ([*samples(0, 3), ("9.png", encoded(9)), ("9.cls", b"")], "the class of '9' is ''"),
        ([("1.png", encoded(1)), ("1.cls", b"0")], "has only one class, '0', but two are needed"),
        (
            [(name, b"0208407" + content if "cls" in name else content) for name, content in samples(0, 4)],
            r"3 training classes, numbered up to 2084072; .* dataset\.json",
        ),
        ([("readme.txt", b"nothing")], "holds no images; they must be members KEY.jpg with KEY.cls"),
    ],
)
def test_samples_that_cannot_be_used_are_refused(tmp_path, members, message):
    write_tar(tmp_path / "train-0.tar", members)
    with pytest.raises(DataError, match=message) as caught:
        load(shards(tmp_path), "train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no tar file", bytes(512)])
def test_a_file_that_is_not_a_tar_is_refused(tmp_path, content):
    (tmp_path / "train-0.tar").write_bytes(content)
    with pytest.raises(DataError, match=r"train-0\.tar is truncated, damaged or not a \.tar file"):
        load(shards(tmp_path), "train")


def test_a_key_in_two_shards_is_refused(foreign):
    write_tar(foreign / "train-0002.tar", samples(5, 2))
    with pytest.raises(DataError, match=r"the key '0005' is in both .*train-0000\.tar and .*train-0002\.tar"):
        load(shards(foreign), "train")


def test_classes_that_do_not_match_are_refused(foreign):
    write_tar(foreign / "val-0001.tar", [("200.png", encoded(200)), ("200.cls", b"3")])
    with pytest.raises(
        DataError, match=r"the class of 200\.png is 3, but the 3 classes of the training shards"
    ):
        load(shards(foreign), "test")


def test_shards_of_images_that_are_too_small_are_refused(plain_folder, tmp_path):
    write_shards(plain_folder, tmp_path / "small", ShardingConfig(size=6))
    assert len(load(shards(tmp_path / "small"), "train"))
    with pytest.raises(DataError, match=r"made with --size 6, but data.image_size = 8; .*--size 8"):
        load(shards(tmp_path / "small", image_size=8), "train")


def test_class_names_beside_the_shards(foreign):
    description = foreign / "dataset.json"
    description.write_text(json.dumps({"class_names": ["cat", "dog", "emu"]}))
    assert load(shards(foreign), "test").class_names == ("cat", "dog", "emu")
    description.write_text(json.dumps({"class_names": ["cat", "dog"]}))
    with pytest.raises(DataError, match=r"is 2, but the 2 classes of dataset\.json end at 1"):
        load(shards(foreign), "train")
    description.write_text('{"class_names": ["cat", ')
    with pytest.raises(DataError, match=r"dataset\.json is damaged"):
        load(shards(foreign), "train")


def test_an_unreadable_image_is_fatal_or_skipped(foreign, caplog):
    config = shards(foreign, validation_images=3)
    whole = [load(config, "train"), load(config, "validation")]
    names = [name for found in whole for name in found.names]
    members = samples(0, 6)
    members[4] = ("0002.png", members[4][1][:60])
    changed = write_tar(foreign / "train-0000.tar", members)
    os.utime(changed, (10**9 + 1, 10**9 + 1))
    owner = "train" if "0002.png" in whole[0].names else "validation"
    with pytest.raises(
        DataError, match=r"1 of \d+ image files cannot be read, .*train-0000\.tar: 0002\.png: "
    ):
        load(config, owner)
    with caplog.at_level(logging.WARNING):
        left = [
            load(shards(foreign, validation_images=3, unreadable="skip"), split)
            for split in ("train", "validation")
        ]
    assert [name for found in left for name in found.names] == [name for name in names if name != "0002.png"]
    assert "skipped" in caplog.text


@pytest.mark.parametrize(
    ("files", "split", "message"),
    [
        ([], "train", "no shards named train in"),
        (["train-0.tar"], "test", "no shards named val or validation or test in"),
        (["photos.tar"], "train", "no shards named train in"),
        (["train_val-0.tar", "val-0.tar"], "train", "name of .*train_val-0.tar fits both training and test"),
        (["train_val-0.tar", "val-0.tar"], "test", "name of .*train_val-0.tar fits both training and test"),
    ],
)
def test_a_folder_without_the_shards_is_refused(tmp_path, files, split, message):
    for name in files:
        write_tar(tmp_path / name, samples(0, 3))
    with pytest.raises(DataError, match=message):
        load(shards(tmp_path), split)


def test_a_missing_shard_is_noticed(made):
    (made / "train-000002.tar").unlink()
    with pytest.raises(DataError, match=r"3 of 4 train shards are in .*; copy the missing ones"):
        load(shards(made), "train")


def test_names_of_odd_members(tmp_path, caplog):
    members = [
        ("a.b/y.seg.png", encoded(0)),
        ("._junk.png", b""),
        ("a.b/y.PNG", encoded(1)),
        ("a.b/y.depth.png", encoded(2)),
        ("a.b/y.cls", b"1\n"),
    ]
    index = index_of(write_tar(tmp_path / "train-0.tar", members))
    assert index.members == ("a.b/y.PNG",)
    assert "2 images that accompany a sample are not used, such as a.b/y.seg.png" in caplog.text


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_in_a_shard_are_refused(tmp_path, kind):
    path = write_tar(tmp_path / "train-0.tar", samples(0, 3))
    with tarfile.open(path, "a") as tar:
        for name, target in (("0003.png", "0000.png"), ("0003.cls", "0000.cls")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            tar.addfile(member)
    with pytest.raises(DataError, match=r"0003\.png is not a regular file; pack .* --dereference"):
        load(shards(tmp_path), "train")
