from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from sftok.data import DataError
from sftok.data.folder_layout import labelled_files


def touch(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


@pytest.mark.parametrize("held_out", ["val", "validation", "test"])
def test_train_and_held_out_folders(tmp_path, held_out):
    root = touch(tmp_path, "train/b/1.png", "train/a/2.JPEG", "train/a/1.jpg", f"{held_out}/b/9.webp")
    train = labelled_files(root, "train")
    assert train.class_names == ("a", "b")
    assert train.files == ["train/a/1.jpg", "train/a/2.JPEG", "train/b/1.png"]
    assert train.labels == [0, 0, 1]
    assert labelled_files(root, "validation") == train
    test = labelled_files(root, "test")
    assert test.class_names == ("a", "b")
    assert (test.files, test.labels) == ([f"{held_out}/b/9.webp"], [1])


def test_val_is_preferred_to_test_and_the_log_says_so(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    root = touch(tmp_path, "train/a/1.png", "val/a/2.png", "test/unsorted.png")
    assert labelled_files(root, "test").files == ["val/a/2.png"]
    assert "the test split is val/, not test/" in caplog.text


def test_a_plain_folder_is_divided_within_each_class(tmp_path):
    root = touch(tmp_path, *(f"a/{n}.png" for n in range(47)), *(f"b/{n}.png" for n in range(2)), "c/0.png")
    train, test = labelled_files(root, "train"), labelled_files(root, "test")
    assert [test.labels.count(label) for label in range(3)] == [4, 1, 0]
    assert [train.labels.count(label) for label in range(3)] == [43, 1, 1]
    assert not set(train.files) & set(test.files)
    assert labelled_files(root, "validation") == train
    assert train.class_names == test.class_names == ("a", "b", "c")


def test_a_new_file_moves_at_most_one_other(tmp_path):
    root = touch(tmp_path, *(f"a/{n}.png" for n in range(40)))
    before = set(labelled_files(root, "test").files)
    for name in ("x", "y", "z"):
        touch(root, f"a/{name}.png")
        after = set(labelled_files(root, "test").files)
        assert len(before - after) <= 1
        before = after


def test_the_division_does_not_depend_on_the_format_of_the_images(tmp_path):
    names = [f"{name}/{n}.v2" for name in "ab" for n in range(40)]
    found = []
    for extensions in (("jpg", "jpg"), ("png", "png"), ("JPEG", "webp")):
        files = [f"{name}.{extensions[place % 2]}" for place, name in enumerate(names)]
        root = touch(tmp_path / extensions[1], *files)
        listings = [labelled_files(root, split) for split in ("train", "test")]
        found.append([[file.rpartition(".")[0] for file in listing.files] for listing in listings])
    assert found[0] == found[1] == found[2]


def test_deeper_images_hidden_files_and_other_files(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    root = touch(
        tmp_path,
        "train/a/images/1.png",
        "train/a/2.png",
        "train/a/boxes.txt",
        "train/a/Thumbs.db",
        "train/a/.hidden.png",
        "train/a/._2.png",
        "train/.cache/3.png",
        "train/stray.png",
        "train/.DS_Store",
    )
    assert labelled_files(root, "train").files == ["train/a/2.png", "train/a/images/1.png"]
    assert "3 files ignored" in caplog.text


@pytest.mark.parametrize(
    ("files", "split", "message"),
    [
        (("only/1.png",), "test", "none can be held out to test on; add images"),
        ((), "train", r"no class folders in .*; sort the images into PATH/train"),
        (("1.png", "2.png"), "train", r"no class folders in"),
        (("train/1.png",), "train", r"no class folders in .*train"),
        (
            ("a/1.png", "b/readme.txt"),
            "train",
            r"class folder .*b has no images \(1 other files\); add some, or move",
        ),
        (("train/a/1.png", "val/a/readme.txt"), "test", r"class folder .*val/a has no images"),
        (("train/a/1.png", "val/1.png"), "test", r"no class folders in .*val"),
        (
            ("train/a/1.png",),
            "test",
            r"has train/ but no val/, validation/, test/ to test on; add one, or set data.path",
        ),
        (("val/a/1.png",), "train", r"has val/ but no train/; add train/<class>/"),
        (
            ("train/a/1.png", "val/b/1.png"),
            "test",
            r"val has a class 'b' that .*train does not have; give both",
        ),
    ],
)
def test_layouts_that_cannot_be_used(tmp_path, files, split, message):
    root = touch(tmp_path, *files)
    with pytest.raises(DataError, match=message) as caught:
        labelled_files(root, split)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("Train", "Val"), "Train/ and Val/ look like splits; rename them to train/ and val/"),
        (("testing", "training"), "training/ and testing/ look like splits; rename them to train/ and test/"),
        (("TRAIN", "VALID", "TEST"), "TRAIN/ and VALID/ and TEST/ look like splits"),
        (("train_images", "test_images"), "rename them to train/ and test/"),
        (("TrainSet", "TestSet"), "rename them to train/ and test/"),
        (("seg_train", "seg_test"), "rename them to train/ and test/"),
        (("train2014", "train2017", "val2017"), "rename them to train/ and val/"),
        (("train", "Testing"), "Testing/ looks like a split; rename it to test/"),
        (("Train", "val"), "Train/ looks like a split; rename it to train/"),
        (("training", "other"), "training/ looks like a split; rename it to train/"),
    ],
)
def test_folders_that_look_like_splits_are_refused(tmp_path, folders, message, split):
    touch(tmp_path, *(f"{folder}/{name}/{n}.png" for folder in folders for name in "ab" for n in range(12)))
    with pytest.raises(DataError, match=message):
        labelled_files(tmp_path, split)


def test_splits_of_images_are_not_taken_for_two_classes(tmp_path):
    touch(tmp_path, "Train/1.png", "Train/2.png", "Test/3.png", "Test/4.png")
    with pytest.raises(DataError, match="Train/ and Test/ look like splits"):
        labelled_files(tmp_path, "train")


def test_classes_whose_names_have_a_word_of_a_split_are_taken(tmp_path):
    names = ("Train", "bullet_train", "test_tube", "valley", "plane")
    touch(tmp_path, *(f"{name}/{n}.png" for name in names for n in range(2)))
    assert labelled_files(tmp_path, "train").class_names == tuple(sorted(names))


def test_other_folders_beside_train_and_val_are_left_alone(tmp_path):
    touch(tmp_path, "train/a/1.png", "val/a/2.png", "Testing/b/3.png")
    assert labelled_files(tmp_path, "test").files == ["val/a/2.png"]


@pytest.mark.parametrize("above", ["", "train/"])
def test_class_folders_that_hold_folders_instead_of_images_are_refused(tmp_path, above):
    touch(tmp_path, *(f"{above}{part}/{name}/1.png" for part in ("one", "two") for name in ("cat", "dog")))
    with pytest.raises(DataError, match=r"one holds 2 folders instead of images; set data\.path"):
        labelled_files(tmp_path, "train")


def test_a_class_whose_name_no_page_can_hold_is_refused(tmp_path):
    for name in (b"caf\xe9", b"tea"):
        for image in ("1.png", "2.png"):
            touch(tmp_path, f"{os.fsdecode(name)}/{image}")
    with pytest.raises(DataError, match=r"caf\\xe9' is not UTF-8; rename it"):
        labelled_files(tmp_path, "train")


def test_links_to_folders_and_files_are_followed(tmp_path):
    store = touch(tmp_path / "store", "x/1.png", "2.png")
    root = touch(tmp_path / "root", "train/b/3.png")
    (root / "train" / "a").symlink_to(store / "x")
    (root / "train" / "b" / "2.png").symlink_to(store / "2.png")
    assert labelled_files(root, "train").files == ["train/a/1.png", "train/b/2.png", "train/b/3.png"]


@pytest.mark.parametrize("target", ["a", "", "a/deeper"])
def test_a_loop_of_links_is_an_error(tmp_path, target):
    root = touch(tmp_path, "a/deeper/1.png")
    (root / "a" / "deeper" / "again").symlink_to(root / target, target_is_directory=True)
    with pytest.raises(
        DataError, match=r"again is a symbolic link to .*, a folder above it; remove the link"
    ):
        labelled_files(root, "train")


def test_broken_links_named_like_images_are_files(tmp_path):
    root = touch(tmp_path, "a/1.png")
    (root / "a" / "self.png").symlink_to(root / "a" / "self.png")
    (root / "a" / "gone.png").symlink_to(root / "gone.png")
    assert len(labelled_files(root, "train").files) + len(labelled_files(root, "test").files) == 3


@pytest.mark.parametrize("link", ["cat", "dog/more", "train"])
@pytest.mark.parametrize("target", ["/not/mounted", "itself"])
def test_a_link_to_a_folder_that_leads_nowhere_is_an_error(tmp_path, link, target):
    touch(tmp_path, "dog/1.png", "dog/2.png")
    path = tmp_path / link
    path.symlink_to(path if target == "itself" else target)
    with pytest.raises(DataError, match=rf"{link} cannot be read \(.*\); repair or remove the link"):
        labelled_files(tmp_path, "train")


def test_a_held_out_folder_that_leads_nowhere_is_not_replaced_by_another(tmp_path):
    touch(tmp_path, "train/a/1.png", "test/a/2.png")
    (tmp_path / "val").symlink_to("/not/mounted")
    with pytest.raises(DataError, match="val cannot be read"):
        labelled_files(tmp_path, "test")
