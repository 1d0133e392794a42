from __future__ import annotations

import logging
import os
from dataclasses import replace

import pytest
import torch

from sftok.config import ConfigError
from sftok.data import DataConfig, DataError, load, ordered_batches
from sftok.data.transforms import pixels


def folder(root, **changes) -> DataConfig:
    return DataConfig(source="folder", path=str(root), **{"image_size": 8, **changes})


def test_images_and_labels_are_those_of_the_files(plain_folder):
    image_set = load(folder(plain_folder), "train")
    assert len(image_set) == 15
    assert image_set.class_names == ("cat", "dog")
    assert image_set.num_classes == 2
    assert image_set.name == "animals/train"
    everything = torch.arange(15)
    images, labels = image_set.images(everything), image_set.labels(everything)
    assert images.shape == (15, 3, 8, 8)
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    for image, label, file in zip(images, labels.tolist(), image_set.files, strict=True):
        assert file.startswith(image_set.class_names[label])
        expected = pixels((plain_folder / file).read_bytes(), 8)
        assert torch.equal(image, torch.from_numpy(expected).permute(2, 0, 1))


def test_splits_are_disjoint_and_complete(plain_folder):
    config = folder(plain_folder, validation_images=4)
    files = [load(config, split).files for split in ("train", "validation", "test")]
    assert [len(part) for part in files] == [11, 4, 2]
    assert len(set().union(*files)) == 17


def test_limit_keeps_every_class(plain_folder):
    image_set = load(folder(plain_folder, limit=2), "train")
    assert sorted(image_set.labels(torch.arange(2)).tolist()) == [0, 1]


def test_lazy_and_eager_reading_agree(plain_folder):
    eager = load(folder(plain_folder), "train")
    lazy = replace(eager, memory_budget=0)
    indices = torch.tensor([3, 0, 3, 14])
    assert torch.equal(eager.images(indices), lazy.images(indices))
    assert lazy.images(indices).is_contiguous()
    assert [len(batch.images) for batch in ordered_batches(lazy, 6)] == [6, 6, 3]


def test_images_are_the_callers_own(plain_folder):
    image_set = load(folder(plain_folder), "train")
    before = image_set.images(torch.arange(3)).clone()
    image_set.images(torch.arange(3)).zero_()
    assert torch.equal(image_set.images(torch.arange(3)), before)


def test_the_fingerprint_follows_content_size_and_names(plain_folder, write_image):
    config = folder(plain_folder)
    first = load(config, "train")
    prints = {first.fingerprint}
    assert load(config, "train").fingerprint == first.fingerprint
    for other, split in ((folder(plain_folder, image_size=9), "train"), (config, "test")):
        prints.add(load(other, split).fingerprint)
    file = plain_folder / first.files[4]
    write_image(file, seed=999)
    prints.add(load(config, "train").fingerprint)
    file.rename(file.with_name("renamed.png"))
    prints.add(load(config, "train").fingerprint)
    assert len(prints) == 5


def test_the_fingerprint_does_not_depend_on_place_or_time(plain_folder):
    before = load(folder(plain_folder), "train").fingerprint
    for file in plain_folder.rglob("*.png"):
        os.utime(file, (0, 0))
    moved = plain_folder.rename(plain_folder.with_name("moved"))
    assert load(folder(moved), "train").fingerprint == before


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
    whole = {split: load(config, split).files for split in ("train", "validation")}
    (plain_folder / "cat" / "05.png").write_bytes(b"")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        left = {split: load(config, split) for split in ("train", "validation")}
    for split, files in whole.items():
        assert left[split].files == tuple(file for file in files if file != "cat/05.png")
        assert left[split].images(torch.arange(len(left[split]))).shape[0] == len(left[split].files)
    (record,) = caplog.records
    assert record.message == f"skipped {plain_folder / 'cat' / '05.png'}: the file is empty"


def test_a_set_without_any_readable_file_is_an_error(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").touch()
        (tmp_path / name / "2.png").touch()
    with pytest.raises(DataError, match=r"none of the 2 image files .* can be read"):
        load(folder(tmp_path, unreadable="skip"), "train")


def test_a_limited_set_reads_only_what_it_needs(plain_folder):
    image_set = load(folder(plain_folder, limit=3), "train")
    for file in plain_folder.rglob("*.png"):
        if file.relative_to(plain_folder).as_posix() not in image_set.files:
            file.write_bytes(b"")
    assert load(folder(plain_folder, limit=3), "train").fingerprint == image_set.fingerprint


@pytest.mark.parametrize("budget", [0, 2**30])
def test_a_file_that_is_lost_after_loading_is_named(plain_folder, budget):
    image_set = replace(load(folder(plain_folder), "train"), memory_budget=budget)
    (plain_folder / image_set.files[2]).unlink()
    with pytest.raises(DataError, match=f"{image_set.files[2]} was readable .* and is not now"):
        image_set.images(torch.tensor([2]))


def test_two_images_of_two_classes(tmp_path, write_image):
    for name in ("a", "b"):
        write_image(tmp_path / "train" / name / "1.webp")
    image_set = load(folder(tmp_path), "train")
    assert (len(image_set), image_set.num_classes) == (2, 2)
    assert image_set.images(torch.tensor([0])).shape == (1, 3, 8, 8)


def test_one_class_is_refused(tmp_path, write_image):
    for number in range(3):
        write_image(tmp_path / "photos" / f"{number}.png")
    for split in ("train", "test"):
        with pytest.raises(DataError, match=r"one class only, .photos., but two are needed; set data.path"):
            load(folder(tmp_path), split)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (None, "no path is set"),
        ("nowhere", "does not exist; set data.path"),
        ("file.zip", "is not a folder; set data.path"),
    ],
)
def test_a_path_that_cannot_be_used(tmp_path, path, message):
    (tmp_path / "file.zip").touch()
    with pytest.raises(DataError, match=message):
        load(DataConfig(source="folder", path=path and str(tmp_path / path)), "train")


def test_an_unknown_source_lists_the_choices():
    with pytest.raises(ConfigError, match=r"did you mean 'folder'\? choices: fashion-mnist, folder"):
        load(DataConfig(source="folders"), "train")
