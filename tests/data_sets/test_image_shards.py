"""Images in shards made by `sftok` and by other tools."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from itertools import islice

import pytest
import torch
from data_sets.small_shards import encoded, flip_bit, folder, samples, shards, write_tar

from sftok.data import AugmentationConfig, DataError, load, ordered_batches, training_batches
from sftok.data.make_shards import ShardingConfig, write_shards


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
