from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sftok.data import DataConfig, DataError, load, make_shards
from sftok.data.make_shards import ShardingConfig, write_shards
from sftok.data.shard_index import beside, index_of


def contents(out: Path) -> dict[str, object]:
    """The files of `out`; of an index what it says, as safetensors may order metadata anew each time."""
    return {
        path.name: index_of(path.with_suffix("")).members if path.suffix == ".index" else path.read_bytes()
        for path in out.iterdir()
    }


def test_what_is_written(plain_folder, tmp_path):
    out = tmp_path / "out"
    seen = []
    found = write_shards(plain_folder, out, ShardingConfig(images_per_shard=6), lambda *now: seen.append(now))
    names = [f"train-{number:06}.tar" for number in range(3)] + ["val-000000.tar"]
    assert sorted(contents(out)) == sorted(["dataset.json", *names, *(f"{name}.index" for name in names)])
    assert seen[-1] == (17, 17)
    assert seen == sorted(seen)
    assert {word: (split.images, split.shards) for word, split in found.splits.items()} == {
        "train": (15, 3),
        "val": (2, 1),
    }
    description = json.loads((out / "dataset.json").read_text())
    assert description["class_names"] == ["cat", "dog"]
    with tarfile.open(out / "train-000000.tar") as tar:
        members = tar.getnames()
        image, label = (tar.extractfile(name).read() for name in members[:2])
    assert members[0].endswith(".png")
    assert members[1] == members[0].removesuffix(".png") + ".cls"
    assert (image, label) == ((plain_folder / members[0]).read_bytes(), b"0")


def test_the_same_images_give_the_same_bytes_and_a_missing_index_is_written_again(plain_folder, tmp_path):
    config = ShardingConfig(images_per_shard=5, size=4)
    for name in ("a", "b"):
        write_shards(plain_folder, tmp_path / name, config)
    expected = contents(tmp_path / "a")
    assert contents(tmp_path / "b") == expected
    beside(tmp_path / "a" / "train-000000.tar").unlink()
    write_shards(plain_folder, tmp_path / "a", config)
    assert contents(tmp_path / "a") == expected


@pytest.mark.parametrize("images", [0, 3, 6, 13])
def test_an_interrupted_run_resumes(plain_folder, tmp_path, monkeypatch, images):
    config = ShardingConfig(images_per_shard=6)
    write_shards(plain_folder, tmp_path / "whole", config)
    added = iter(range(100))
    add = make_shards._add

    def failing(tar, name, content):
        if next(added) == 2 * images:
            raise OSError(28, "No space left on device")
        add(tar, name, content)

    monkeypatch.setattr(make_shards, "_add", failing)
    with pytest.raises(OSError, match="No space left"):
        write_shards(plain_folder, tmp_path / "out", config)
    assert all(not name.endswith(".tmp") for name in contents(tmp_path / "out"))
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tar")}
    assert len(done) == images // 6
    with pytest.raises(DataError, match=r"train shards are in|no shards named train"):
        load(DataConfig(source="shards", path=str(tmp_path / "out"), image_size=4), "train")
    monkeypatch.setattr(make_shards, "_add", add)
    write_shards(plain_folder, tmp_path / "out", config)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert all((tmp_path / "out" / name).stat().st_mtime_ns == time for name, time in done.items())


KILLED = """
import os, signal, sys
from pathlib import Path
from sftok.data import make_shards
add, left = make_shards._add, iter(range(17))
def dying(tar, name, content):
    if next(left, None) is None:
        tar.fileobj.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    add(tar, name, content)
make_shards._add = dying
config = make_shards.ShardingConfig(images_per_shard=6)
make_shards.write_shards(Path(sys.argv[1]), Path(sys.argv[2]), config)
"""


def test_a_killed_run_resumes(plain_folder, tmp_path):
    config = ShardingConfig(images_per_shard=6)
    write_shards(plain_folder, tmp_path / "whole", config)
    command = [sys.executable, "-c", KILLED, str(plain_folder), str(tmp_path / "out")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert [path.name for path in (tmp_path / "out").glob("*.tar")] == ["train-000000.tar"]
    write_shards(plain_folder, tmp_path / "out", config)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_shards_of_another_folder_or_size_are_refused(plain_folder, tmp_path, write_image):
    out = tmp_path / "out"
    write_shards(plain_folder, out, ShardingConfig(images_per_shard=6))
    with pytest.raises(DataError, match="holds shards of other images, or cut or resized in another way"):
        write_shards(plain_folder, out, ShardingConfig(images_per_shard=7))
    write_image(plain_folder / "dog" / "new.png")
    with pytest.raises(DataError, match="holds shards of other images"):
        write_shards(plain_folder, out, ShardingConfig(images_per_shard=6))
    with pytest.raises(DataError, match=r"is not empty, and has no dataset\.json"):
        write_shards(plain_folder, plain_folder, ShardingConfig())


def test_names_with_the_same_key_are_refused(plain_folder, tmp_path, write_image):
    write_image(plain_folder / "cat" / "a.b.png")
    write_image(plain_folder / "cat" / "a_b.png")
    with pytest.raises(DataError, match=r"would have the same key in a shard; rename one"):
        write_shards(plain_folder, tmp_path / "out", ShardingConfig())
    assert not (tmp_path / "out").exists()


def test_a_strip_that_would_be_too_large_is_not_resized(plain_folder, tmp_path):
    strip = plain_folder / "cat" / "strip.png"
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3000, 3), np.uint8)
    Image.fromarray(pixels).save(strip)
    write_shards(plain_folder, tmp_path / "out", ShardingConfig(size=256))
    found = load(DataConfig(source="shards", path=str(tmp_path / "out"), image_size=256), "train")
    expected = load(DataConfig(source="folder", path=str(plain_folder), image_size=256), "train")
    place = expected.names.index("cat/strip.png")
    assert torch.equal(found.images(torch.tensor([place])), expected.images(torch.tensor([place])))


@pytest.mark.parametrize("size", [None, 6])
def test_an_unreadable_image_is_copied_with_a_warning(plain_folder, tmp_path, size, caplog):
    config = {"path": str(plain_folder), "image_size": 6, "unreadable": "skip"}
    victim = plain_folder / load(DataConfig(source="folder", **config), "train").names[4]
    victim.write_bytes(victim.read_bytes()[:70])
    expected = load(DataConfig(source="folder", **config), "train")
    with caplog.at_level(logging.WARNING):
        write_shards(plain_folder, tmp_path / "out", ShardingConfig(size=size))
    assert f"{victim} was copied, but cannot be decoded" in caplog.text
    found = load(DataConfig(source="shards", **{**config, "path": str(tmp_path / "out")}), "train")
    assert torch.equal(found.images(torch.arange(len(found))), expected.images(torch.arange(len(expected))))
    with pytest.raises(DataError, match="1 of 15 image files cannot be read"):
        load(DataConfig(source="shards", path=str(tmp_path / "out"), image_size=6), "train")


def test_jpegs_get_the_usual_extension(tmp_path, write_image):
    for name in ("cat/1.JPEG", "cat/2.jpg", "dog/1.jpeg", "dog/2.JPG"):
        write_image(tmp_path / "in" / name)
    write_shards(tmp_path / "in", tmp_path / "out", ShardingConfig())
    assert all(name.endswith(".jpg") for name in index_of(tmp_path / "out" / "train-000000.tar").members)


def test_the_command(plain_folder, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert make_shards.main([str(plain_folder), out, "--images-per-shard", "6", "--size", "4"]) == 0
    assert "17 of 17 images" in capsys.readouterr().err
    assert len(load(DataConfig(source="shards", path=out, image_size=4), "train")) == 15
    for wrong, message in (
        ([str(plain_folder), out], "holds shards of other images"),
        ([str(tmp_path / "nowhere"), out], "is not a folder"),
        ([str(plain_folder), out, "--size", "0"], "size = 0"),
    ):
        assert make_shards.main(wrong) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert make_shards.main([str(plain_folder), str(tmp_path / "file")]) == 1
