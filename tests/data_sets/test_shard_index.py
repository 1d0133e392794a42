"""The index of a shard, and shards that cannot be used."""

from __future__ import annotations

import logging
import os
import tarfile
from pathlib import Path

import pytest
from data_sets.small_shards import dotted, encoded, flip_bit, samples, shards, write_tar

from sftok.data import DataError, load
from sftok.data import shard_index as shard_index_module
from sftok.data.shard_index import beside, index_of


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
