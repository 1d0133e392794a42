"""Any folder of images in class sub-folders (`folder_layout` says which), in any common format.

With `unreadable = "skip"`, a file that cannot be decoded still counts towards `validation_images` and
`limit`, so leaving it out moves no other image.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from sftok.data.base import DataConfig, DataError, Selection, Split
from sftok.data.content_index import Content, Unreadable, examine
from sftok.data.encoded import EncodedImageSet, refuse_one_class, report_unreadable, root_folder
from sftok.data.folder_layout import LAYOUTS, labelled_files, sample_key

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageFolder(EncodedImageSet):
    """An `ImageSet` of image files.

    Attributes:
        root: the folder.
        files: paths relative to it, with `/`.
        hashes: SHA-256 (hex) of each file's content.
    """

    root: Path
    files: tuple[str, ...]
    hashes: tuple[str, ...]

    def key(self, place: int) -> str:
        """The file's path without its extension."""
        return sample_key(self.files[place])

    def sha256(self, place: int) -> str:
        """Of the file's content (hex)."""
        return self.hashes[place]

    def content(self, place: int) -> bytes:
        """The bytes of the file."""
        return (self.root / self.files[place]).read_bytes()

    def lost(self, place: int, reason: str) -> DataError:
        """The file was changed or removed."""
        return DataError(
            f"folder: {self.root / self.files[place]} was readable when it was loaded, and is not now "
            f"({reason}); restore it and start again"
        )


def read(config: DataConfig, split: Split, select: Selection) -> ImageFolder:
    """The images of a split of the folder `config.path`.

    Raises:
        DataError: there is no such folder, its layout is not known, it holds no images or one class
            only, or (with `unreadable = "fatal"`) an image that cannot be decoded.
    """
    root = root_folder(config, LAYOUTS)
    listing = labelled_files(root, split)
    refuse_one_class(config, root, listing.class_names)
    chosen = select(torch.tensor(listing.labels)).tolist()
    contents = examine(root, [listing.files[place] for place in chosen])
    found = list(zip(chosen, contents, strict=True))
    kept = [(place, content) for place, content in found if isinstance(content, Content)]
    problems = [
        f"{root / listing.files[place]}: {content.problem}"
        for place, content in found
        if isinstance(content, Unreadable)
    ]
    report_unreadable(config, root, problems, len(found))
    logger.info("%s: %d images of %d classes (%s)", root, len(kept), len(listing.class_names), split)
    return ImageFolder(
        name=f"{root.name}/{split}",
        class_names=listing.class_names,
        root=root,
        files=tuple(listing.files[place] for place, _ in kept),
        hashes=tuple(content.sha256 for _, content in kept),
        targets=torch.tensor([listing.labels[place] for place, _ in kept]),
        image_size=config.image_size,
    )
