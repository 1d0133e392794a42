"""Finds the images of a folder, with their classes and splits.

Two layouts are supported:

- `PATH/train/<class>/` and `PATH/val/<class>/` (or `validation/`, or `test/`; the first that exists). The
  held-out folder is the test split.
- `PATH/<class>/` only. The test split is a tenth of each class, at least one image, chosen by the hash of the
  image's path without its extension. The choice is stable: converting images to another format does not
  change it, and a new file moves at most one other. The only image of a class is a training image.

Images may be in subfolders of their class. Labels number the sorted training classes; a class folder without
images is an error. Hidden files and folders are ignored. Files that are not images, or that are outside class
folders, are ignored and counted in the log.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sftok.data.base import DataError, Split
from sftok.data.transforms import EXTENSIONS

logger = logging.getLogger(__name__)

LAYOUTS = "PATH/train/<class>/ and PATH/val/<class>/, or PATH/<class>/"
HELD_OUT_FOLDERS = ("val", "validation", "test")
HELD_OUT_FRACTION = 10
"""The share of a class that is held out, as one in this many, if the folder has no held-out split."""
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trainset", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "valset", "dev", "devset", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "testset", "tst", "holdout", "heldout"), "test"),
}
"""Words that make a folder look like a split, and the required name of such a folder."""
_FILLERS = {"set", "split", "data", "dataset", "images", "imgs", "img"}

Files = dict[str, list[str]]
"""Image files by class, as sorted paths relative to the root, with `/`."""


@dataclass(frozen=True)
class LabelledFiles:
    """Image files and their classes.

    Attributes:
        class_names: sorted.
        files: paths relative to the root, with `/`, sorted within their class.
        labels: the position of each file's class in `class_names`.
    """

    class_names: tuple[str, ...]
    files: list[str]
    labels: list[int]


def labelled_files(root: Path, split: Split) -> LabelledFiles:
    """Find the image files below `root` from which `split` is chosen (for validation, those of train).

    Raises:
        DataError: the layout is neither of the two, or a folder that must contain images has none.
    """
    folders = _folders(root)
    held_out = [name for name in HELD_OUT_FOLDERS if name in folders]
    if "train" not in folders or not held_out:
        _refuse_misnamed_splits(root, folders)
    if "train" in folders:
        class_names, files = _divided_layout(root, split, held_out)
    elif held_out:
        raise DataError(f"folder: {root} has {held_out[0]}/ but no train/; add train/<class>/ beside it")
    else:
        class_names, files = _plain_layout(root, split)
    return LabelledFiles(
        class_names=class_names,
        files=[file for name in class_names for file in files.get(name, ())],
        labels=[label for label, name in enumerate(class_names) for _ in files.get(name, ())],
    )


def sample_key(file: str) -> str:
    """Return the name of an image within its set: its path without extension, dots in its name replaced.

    A WebDataset key ends at the first dot, so this gives the same image the same key in shards.
    """
    folder, slash, name = file.rpartition("/")
    return folder + slash + name.rpartition(".")[0].replace(".", "_")


def _refuse_misnamed_splits(root: Path, folders: list[str]) -> None:
    """Reject Train/ and Val/, which would become two classes, mixing test images into the training images.

    A single such folder may well be a class (a train is also a vehicle), unless it contains folders.
    """
    found = {name: split for name in folders if (split := _as_split(name)) is not None}
    misnamed = []
    for name, (target, rest) in found.items():
        has_counterpart = any(other != target and also == rest for other, also in found.values())
        is_split = has_counterpart or (not rest and bool(_folders(root / name)))
        if is_split and name not in ("train", *HELD_OUT_FOLDERS):
            misnamed.append(name)
    if misnamed:
        misnamed.sort(key=lambda name: (("train", "val", "test").index(found[name][0]), name))
        names, targets = (
            " and ".join(f"{name}/" for name in dict.fromkeys(each))
            for each in (misnamed, (found[name][0] for name in misnamed))
        )
        look, them = ("looks like a split", "it") if len(misnamed) == 1 else ("look like splits", "them")
        raise DataError(f"folder: in {root}, {names} {look}; rename {them} to {targets}")


def _as_split(name: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the required name of a folder that looks like a split, and the other words in its name."""
    words = [word.casefold() for word in re.findall("[A-Z]?[a-z]+|[A-Z]+", name)]
    for place, word in enumerate(words):
        if word in SPLIT_WORDS:
            rest = words[:place] + words[place + 1 :]
            return SPLIT_WORDS[word], tuple(other for other in rest if other not in _FILLERS)
    return None


def _divided_layout(root: Path, split: Split, held_out: list[str]) -> tuple[tuple[str, ...], Files]:
    class_names = _class_names(root / "train")
    if split != "test":
        return class_names, _files_by_class(root, root / "train")
    if not held_out:
        raise DataError(
            f"folder: {root} has train/ but no {'/, '.join(HELD_OUT_FOLDERS)}/ to test on; add one, "
            f"or set data.path to {root / 'train'} to hold out a tenth of it"
        )
    if len(held_out) > 1:
        logger.info("%s: the test split is %s/, not %s/", root, held_out[0], "/, ".join(held_out[1:]))
    files = _files_by_class(root, root / held_out[0])
    if unknown := sorted(set(files) - set(class_names)):
        raise DataError(
            f"folder: {root / held_out[0]} has a class {unknown[0]!r} that {root / 'train'} does not have; "
            "give both the same class folders"
        )
    return class_names, files


def _plain_layout(root: Path, split: Split) -> tuple[tuple[str, ...], Files]:
    files = {name: _divide(members, split) for name, members in _files_by_class(root, root).items()}
    if not any(files.values()):
        raise DataError(
            f"folder: no class in {root} has a second image, so none can be held out to test on; "
            "add images, or a val/ folder beside train/"
        )
    return tuple(files), files


def _divide(files: list[str], split: Split) -> list[str]:
    held_out = max(1, len(files) // HELD_OUT_FRACTION) if len(files) > 1 else 0
    by_hash = sorted(files, key=lambda file: hashlib.sha256(os.fsencode(sample_key(file))).digest())
    return sorted(by_hash[:held_out] if split == "test" else by_hash[held_out:])


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(_folders(folder))
    if not names:
        raise DataError(f"folder: no class folders in {folder}; sort the images into {LAYOUTS}")
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            # Writing the pages and tables that name it would fail, after all the work.
            raise DataError(
                f"folder: the name of the class folder {os.fsencode(folder / name)!r} is not UTF-8; rename it"
            ) from None
    return names


def _files_by_class(root: Path, folder: Path) -> Files:
    """The image files of each class folder in `folder`."""
    files: Files = {}
    names = _class_names(folder)
    ignored = len(_entries(folder)) - len(names)
    for name in names:
        found = list(_walk(folder / name, (folder.resolve(),)))
        images = [file for file in found if file.suffix.lower() in EXTENSIONS]
        if not images:
            raise DataError(
                f"folder: the class folder {folder / name} has no images "
                f"({len(found)} other files); add some, or move it elsewhere"
            )
        parents = {file.parent for file in images}
        if len(parents) > 1 and folder / name not in parents:
            raise DataError(
                f"folder: the class folder {folder / name} holds {len(parents)} folders instead of images; "
                "set data.path to the folder that holds the class folders, or move the images up into theirs"
            )
        ignored += len(found) - len(images)
        files[name] = [file.relative_to(root).as_posix() for file in images]
    if ignored:
        logger.info("%s: %d files ignored (not an image, or not in a class folder)", folder, ignored)
    return files


def _walk(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """Yield the files below `folder`, following links; `above` are the real paths of the folders above it."""
    real = folder.resolve()
    if real in above:
        raise DataError(f"folder: {folder} is a symbolic link to {real}, a folder above it; remove the link")
    for entry in _entries(folder):
        if _is_folder(entry):
            yield from _walk(Path(entry.path), (*above, real))
        else:
            yield Path(entry.path)


def _folders(folder: Path) -> list[str]:
    return [entry.name for entry in _entries(folder) if _is_folder(entry)]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"folder: cannot list {folder} ({error.strerror}); check its permissions") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether `entry` is a folder or a link to one; a broken link that is named like an image is not."""
    if not entry.is_symlink():
        return entry.is_dir()
    try:
        return stat.S_ISDIR(entry.stat().st_mode)
    except OSError as error:
        if Path(entry.name).suffix.lower() in EXTENSIONS:
            return False  # handled according to `data.unreadable`
        raise DataError(
            f"folder: {entry.path} cannot be read ({error.strerror}); repair or remove the link"
        ) from None
