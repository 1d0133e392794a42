"""Saved reconstructions: a folder of image files, or ADM's `.npz`, paired with the originals."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Literal

import torch
from torch import Tensor

from sftok.data.base import ImageSet
from sftok.data.batches import Batch, to_unit_range
from sftok.data.plain_images import ArrayImageSet, PlainImages, read_plain_images
from sftok.data.transforms import EXTENSIONS
from sftok.evaluation.config import EvaluationConfig
from sftok.evaluation.pairing import check_pairs
from sftok.evaluation.subjects.base import Opened, Subject, SubjectConfig, SubjectError
from sftok.evaluation.tokenizers import Decoded, Decoding, Reconstructor

NAMED = 3
"""Number of images named in an error message."""


class ImagesConfig(SubjectConfig, name="images"):
    """Images on disk."""

    location: str
    pair: Literal["name", "order"] | None = None
    """How images are paired with the originals; None means by name for a folder, by order for an array.

    By name, the paths without extensions agree, or their last parts do. By order, the first image is that of
    the first original by path (for Fashion-MNIST, in the published file).
    """

    @property
    def label(self) -> str:
        """The location."""
        return self.location

    def open(self) -> Opened:
        """Open the images.

        Raises:
            DataError: the images cannot be read, or differ in size.
        """
        given = read_plain_images(Path(self.location))

        def on(image_set: ImageSet) -> Subject:
            by_order = isinstance(given, ArrayImageSet) if self.pair is None else self.pair == "order"
            places = (by_place if by_order else by_name)(self.location, image_set, given)
            check_pairs(self.location, image_set, given, places)
            return Subject(measured=SavedImages(given, places), identity=given.fingerprint)

        return Opened(image_size=given.image_size, on=on)


class SavedImages(Reconstructor):
    """Images on disk as reconstructions.

    Args:
        given: the images.
        places: int64 `[originals]`, the place among them of each original's reconstruction.
    """

    def __init__(self, given: PlainImages, places: Tensor) -> None:
        self.given, self.places = given, places

    def decodings(self, config: EvaluationConfig, subject: str) -> list[Decoding]:
        """Return the only decoding."""

        def decode(batch: Batch, ids: Tensor | None) -> Decoded:
            pixels = self.given.images(self.places[batch.indices])
            return Decoded(images=to_unit_range(pixels).to(batch.images.device))

        return [Decoding(name=subject, coordinates={}, passes=1, decode=decode)]


def by_place(location: str, image_set: ImageSet, given: ImageSet) -> Tensor:
    """Pair the images in order with the originals in the order of their paths.

    Raises:
        SubjectError: their numbers differ, or the originals have no order.
    """
    if len(given) != len(image_set):
        raise SubjectError(
            f"{location}: has {len(given)} images for {len(image_set)} originals ({image_set.name}); give "
            "one for each, or pair a folder by name: --pair name"
        )
    if not image_set.names:
        raise SubjectError(f"{image_set.name}: its images have no names, so their order is not known")
    order = sorted(range(len(image_set)), key=lambda place: image_set.names[place].split("/"))
    places = torch.empty(len(order), dtype=torch.int64)
    places[torch.tensor(order)] = torch.arange(len(order))
    return places


def by_name(location: str, image_set: ImageSet, given: ImageSet) -> Tensor:
    """Pair images and originals whose paths agree; parent folders may differ if the rest is unique.

    Raises:
        SubjectError: images are missing, extra or ambiguous; the message names them.
    """
    wanted = [_parts(name) for name in image_set.names]
    found = [_parts(name) for name in given.names]
    depths = range(max(map(len, [*wanted, *found]), default=1), 0, -1)
    best: tuple[int, list[str], list[str]] = (-1, [], [])
    for depth in depths:
        ours, theirs = (["/".join(parts[-depth:]) for parts in each] for each in (wanted, found))
        if len(set(ours)) == len(ours):
            best = max(best, (len(set(ours) & set(theirs)), ours, theirs), key=lambda each: each[0])
    shared, ours, theirs = best
    if shared < 0:
        raise SubjectError(
            f"{location}: the names of {image_set.name} without extensions are not unique; use --pair order"
        )
    if twice := sorted(name for name, count in Counter(theirs).items() if count > 1):
        raise SubjectError(f"{location}: {_named(twice)} more than once; keep one of each")
    missing, extra = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
    if missing or extra:
        problems = [f"{len(missing)} missing ({_named(missing)})"] if missing else []
        problems += [f"{len(extra)} extra ({_named(extra)})"] if extra else []
        raise SubjectError(
            f"{location}: does not pair with {image_set.name} by name: {', '.join(problems)}; "
            "name each as its original, or use --pair order"
        )
    places = {name: place for place, name in enumerate(theirs)}
    return torch.tensor([places[name] for name in ours])


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a path without extensions: `reconstruct` may write `a.jpg.png`."""
    path = PurePosixPath(name)
    while path.suffix.lower() in EXTENSIONS:
        path = path.with_suffix("")
    return path.parts


def _named(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
