"""Which files of a folder are images of which class and split.

Two layouts are known:

- `PATH/train/<class>/` and `PATH/val/<class>/` (or `validation/`, `test/`; the first of the three that
  exists). The held-out folder is the test split.
- `PATH/<class>/` only. Of each class a tenth, and at least one image, is the test split, chosen by the hash
  of the file's path without its extension: so it is always the same, converting the images to another format
  changes nothing, and a new file moves no more than one other. A class of a
  single image has it in the training images.

Images may lie deeper inside a class. Labels number the training classes in sorted order; a class folder
without images is an error. Hidden files and folders are ignored, and so, with a count in
the log, are files without an image's extension and files outside of class folders.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sftok.data.base import DataError, Split
from sftok.data.transforms import EXTENSIONS

logger = logging.getLogger(__name__)

HELD_OUT_FOLDERS = ("val", "validation", "test")
HELD_OUT_FRACTION = 10
"""One in so many images of a class is held out where the folder itself holds none out."""
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trainset", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "valset", "dev", "devset", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "testset", "tst", "holdout", "heldout"), "test"),
}
"""Words in the name of a folder that make it look like a split, and what such a folder must be called."""
_FILLERS = {"set", "split", "data", "dataset", "images", "imgs", "img"}
LAYOUTS = "PATH/train/<class>/ and PATH/val/<class>/, or PATH/<class>/"


@dataclass(frozen=True)
class LabelledFiles:
    """Image files and their classes.

    Attributes:
        class_names: sorted.
        files: paths relative to the root, with `/`, sorted within their class.
        labels: of each file, the place of its class in `class_names`.
    """

    class_names: tuple[str, ...]
    files: list[str]
    labels: list[int]


def labelled_files(root: Path, split: Split) -> LabelledFiles:
    """The image files below `root` that `split` is chosen from (validation: those of train).

    Raises:
        DataError: the layout is neither of the two, or there are no images where some must be.
    """
    folders = {entry.name for entry in _entries(root) if _is_folder(entry)}
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
    """The name of an image in a set: its path without the extension, and without dots in the file's name.

    A WebDataset key ends at the first dot, so in shards an image can have the same.
    """
    path = PurePosixPath(file)
    return str(path.with_name(path.stem.replace(".", "_")))


def _refuse_misnamed_splits(root: Path, folders: set[str]) -> None:
    """Refuse folders such as Train/ and Val/, whose test images would become training images of a class.

    A single folder, unless it holds folders, may well be a class (`train` is also a vehicle).
    """
    found = {name: split for name in folders if (split := _as_split(name))}
    misnamed = []
    for name, (split, rest) in found.items():
        others = {other for other, remaining in found.values() if remaining == rest} - {split}
        alone = not rest and any(map(_is_folder, _entries(root / name)))
        if name not in ("train", *HELD_OUT_FOLDERS) and (others or alone):
            misnamed.append(name)
    if misnamed:
        misnamed.sort(key=lambda name: (("train", "val", "test").index(found[name][0]), name))
        targets = list(dict.fromkeys(found[name][0] for name in misnamed))
        raise DataError(
            f"folder: in {root}, {' and '.join(f'{name}/' for name in misnamed)} "
            f"look{'s like a split' if len(misnamed) == 1 else ' like splits'}; "
            f"rename {'it' if len(misnamed) == 1 else 'them'} to "
            f"{' and '.join(f'{name}/' for name in targets)}"
        )


def _as_split(name: str) -> tuple[str, tuple[str, ...]] | None:
    """What a folder that looks like a split must be called, and the other words in its name."""
    words = [word.casefold() for word in re.findall("[A-Z]?[a-z]+|[A-Z]+", name)]
    for place, word in enumerate(words):
        if word in SPLIT_WORDS:
            rest = words[:place] + words[place + 1 :]
            return SPLIT_WORDS[word], tuple(word for word in rest if word not in _FILLERS)
    return None


def _divided_layout(
    root: Path, split: Split, held_out: list[str]
) -> tuple[tuple[str, ...], dict[str, list[str]]]:
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
            f"folder: {root / held_out[0]} has a class {unknown[0]!r} that {root / 'train'} has not; "
            "give both the same class folders"
        )
    return class_names, files


def _plain_layout(root: Path, split: Split) -> tuple[tuple[str, ...], dict[str, list[str]]]:
    files = _files_by_class(root, root)
    divided = {name: _divide(members, split) for name, members in files.items()}
    if not any(divided.values()):
        raise DataError(
            f"folder: no class in {root} has a second image, so none can be held out to test on; "
            "add images, or a val/ folder beside train/"
        )
    return tuple(files), divided


def _divide(files: list[str], split: Split) -> list[str]:
    held_out = max(1, len(files) // HELD_OUT_FRACTION) if len(files) > 1 else 0
    by_hash = sorted(files, key=lambda file: hashlib.sha256(os.fsencode(sample_key(file))).digest())
    return sorted(by_hash[:held_out] if split == "test" else by_hash[held_out:])


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(entry.name for entry in _entries(folder) if _is_folder(entry))
    if not names:
        raise DataError(f"folder: no class folders in {folder}; sort the images into {LAYOUTS}")
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            # The pages and tables that name it could not be written, after all the work.
            raise DataError(
                f"folder: the name of the class folder {os.fsencode(folder / name)!r} is not UTF-8; rename it"
            ) from None
    return names


def _files_by_class(root: Path, folder: Path) -> dict[str, list[str]]:
    """The image files of each class folder in `folder`, as paths relative to `root`."""
    _class_names(folder)
    ignored = 0
    files: dict[str, list[str]] = {}
    for entry in _entries(folder):
        if not _is_folder(entry):
            ignored += 1
            continue
        found = list(_walk(Path(entry.path), (folder.resolve(),)))
        images = [file for file in found if file.suffix.lower() in EXTENSIONS]
        if not images:
            raise DataError(
                f"folder: the class folder {entry.path} has no images "
                f"({len(found)} other files); add some, or remove it"
            )
        folders = {file.parent for file in images}
        if len(folders) > 1 and Path(entry.path) not in folders:
            raise DataError(
                f"folder: the class folder {entry.path} holds {len(folders)} folders instead of images; set "
                "data.path to the folder that holds the class folders, or move the images up into theirs"
            )
        ignored += len(found) - len(images)
        files[entry.name] = [file.relative_to(root).as_posix() for file in images]
    if ignored:
        logger.info("%s: %d files ignored (no image's extension, or in no class folder)", folder, ignored)
    return files


def _walk(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """The files below `folder`, links followed; `above` are the real paths of the folders above it."""
    real = folder.resolve()
    if real in above:
        raise DataError(f"folder: {folder} is a symbolic link to {real}, a folder above it; remove the link")
    for entry in _entries(folder):
        if _is_folder(entry):
            yield from _walk(Path(entry.path), (*above, real))
        else:
            yield Path(entry.path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"folder: {folder} cannot be listed ({error.strerror}); mend its permissions"
        ) from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether `entry` is a folder or a link to one; a broken link may be either unless its name is an image's."""
    if not entry.is_symlink():
        return entry.is_dir()
    try:
        return stat.S_ISDIR(entry.stat().st_mode)
    except OSError as error:
        if Path(entry.name).suffix.lower() in EXTENSIONS:
            return False  # an image that cannot be read, which `data.unreadable` is for
        raise DataError(
            f"folder: {entry.path} cannot be read ({error.strerror}); repair or remove the link"
        ) from None
