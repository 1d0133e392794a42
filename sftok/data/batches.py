"""Batches: for training an endless stream to be entered at any step, for evaluation one ordered pass."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from sftok.data.augmentation import AugmentationConfig
from sftok.data.base import DataError, ImageSet
from sftok.distributed import SINGLE, World

READ_AHEAD = 4
"""So many batches are read while the caller works on one: a slow disk or a big image does not stop it."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Images and what is known of them.

    Attributes:
        images: float32 [B, 3, H, W] in [0, 1], contiguous.
        labels: int64 [B].
        indices: int64 [B], their places in the image set, and
        views: int64 [B], which view of each image it is (together the key to cached teacher codes); None
            where there is but the centre crop.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    views: Tensor | None = None

    def to(self, device: torch.device) -> Self:
        """The batch with images and labels on `device`; the keys to files stay with the CPU."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


@dataclass(frozen=True, eq=False)
class _Look:
    """What a batch shows: images, and the view of them."""

    indices: Tensor
    augmentation: AugmentationConfig | None = None
    view: int = 0

    def of(self, world: World) -> Self:
        """This process's share."""
        return replace(self, indices=world.share(self.indices))

    def pixels(self, image_set: ImageSet) -> Tensor:
        if self.augmentation is None:
            return image_set.images(self.indices)
        return image_set.views(self.indices, self.augmentation.crops(self.indices, self.view))

    def batch(self, image_set: ImageSet, pixels: Tensor) -> Batch:
        views = None if self.augmentation is None else torch.full_like(self.indices, self.view)
        return Batch(to_unit_range(pixels), image_set.labels(self.indices), self.indices, views)


def to_unit_range(pixels: Tensor) -> Tensor:
    """Pixels (uint8, any shape) as float32 in [0, 1]: divided by 255."""
    return pixels.to(torch.float32).div_(255)


def epoch_order(size: int, seed: int, epoch: int) -> Tensor:
    """The permutation (int64 [size]) in which an epoch goes through a set: a pure function."""
    # Torch's CPU generator keeps 32 bits of a seed; hashing lets every bit of both numbers count.
    digest = hashlib.sha256(f"sftok epoch order: seed {seed}, epoch {epoch}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))
    return torch.randperm(size, generator=generator)


def steps_per_epoch(image_set: ImageSet, batch_size: int) -> int:
    """Full batches in one pass over the set.

    Raises:
        DataError: a batch is larger than the whole set.
    """
    if batch_size < 1:
        raise DataError(f"{image_set.name}: batch_size = {batch_size}; it must be at least 1")
    if batch_size > len(image_set):
        raise DataError(
            f"{image_set.name}: batch_size = {batch_size} is more than its {len(image_set)} images; "
            "use a smaller batch or more images"
        )
    return len(image_set) // batch_size


def training_batches(
    image_set: ImageSet,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    augmentation: AugmentationConfig | None = None,
    world: World = SINGLE,
) -> Iterator[Batch]:
    """Batches `start_step`, `start_step + 1`, ... without end.

    Batch i depends on `(seed, i)` and the augmentation only, so a stream started at step i equals one that
    ran up to it. An epoch is a fresh permutation, of which the last, incomplete batch is dropped: within an
    epoch no image comes twice, and `len(image_set) % batch_size` of them, others each time, do not come at
    all. With an augmentation, an epoch shows one view of the images, else the centre crops. The next batches
    are read on a thread of their own while the caller works on this one.

    `batch_size` counts the images of all processes of `world`; this one reads its share of them.

    Raises:
        ConfigError: at the call, if the processes cannot share a batch evenly.
        DataError: at the call, if a batch is larger than the whole set.
    """
    world.share_of(batch_size)
    per_epoch = steps_per_epoch(image_set, batch_size)
    active = augmentation if augmentation is not None and augmentation.active else None
    looks = _endless_looks(len(image_set), per_epoch, batch_size, seed, start_step, active)
    return _read_ahead(image_set, (look.of(world) for look in looks))


def ordered_batches(
    image_set: ImageSet,
    batch_size: int,
    *,
    places: range | None = None,
    augmentation: AugmentationConfig | None = None,
    view: int = 0,
) -> Iterator[Batch]:
    """Every image (or those at `places`) once, in order; the last batch may be smaller.

    With an augmentation, view `view` of the images, else the centre crops.

    Raises:
        DataError: at the call, if `batch_size` is not positive.
    """
    if batch_size < 1:
        raise DataError(f"{image_set.name}: batch_size = {batch_size}; it must be at least 1")
    active = augmentation if augmentation is not None and augmentation.active else None
    wanted = range(len(image_set)) if places is None else places
    parts = torch.arange(wanted.start, wanted.stop, wanted.step).split(batch_size)
    return _read_ahead(image_set, (_Look(part, active, view) for part in parts))


def _endless_looks(
    size: int,
    per_epoch: int,
    batch_size: int,
    seed: int,
    start_step: int,
    augmentation: AugmentationConfig | None,
) -> Iterator[_Look]:
    epoch, place = divmod(start_step, per_epoch)
    while True:
        order = epoch_order(size, seed, epoch)
        view = 0 if augmentation is None else augmentation.view_of(epoch)
        for step in range(place, per_epoch):
            yield _Look(order[step * batch_size : (step + 1) * batch_size], augmentation, view)
        epoch, place = epoch + 1, 0


def _read_ahead(image_set: ImageSet, looks: Iterator[_Look]) -> Iterator[Batch]:
    # Only the reading runs ahead, and an image set reads without torch's arithmetic: on this thread torch
    # would start a team of threads of its own, which spins on the training's cores and halves its speed.
    reader = ThreadPoolExecutor(1, "sftok-batches")
    pending: deque[tuple[_Look, Future[Tensor]]] = deque()
    try:
        for look in looks:
            pending.append((look, reader.submit(look.pixels, image_set)))
            if len(pending) > READ_AHEAD:
                first, pixels = pending.popleft()
                yield first.batch(image_set, pixels.result())
        while pending:
            first, pixels = pending.popleft()
            yield first.batch(image_set, pixels.result())
    finally:
        reader.shutdown(cancel_futures=True)
