"""Batches: an endless training stream that can start at any step, and one ordered pass for evaluation."""

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
from sftok.device import to_device
from sftok.distributed import SINGLE, World

READ_AHEAD = 4
"""Number of batches that are read ahead, so that the caller need not wait for a slow disk."""

Look = tuple[Tensor, int]
"""The contents of a batch: the indices of images (int64 [B]), and their view."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Images, their labels and where they come from.

    Attributes:
        images: float32 [B, 3, H, W] in [0, 1], contiguous.
        labels: int64 [B].
        indices: int64 [B], positions in the image set.
        views: int64 [B], the view of each image; None if there are only center crops. Indices and views
            together are the key to cached teacher codes.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    views: Tensor | None = None

    def to(self, device: torch.device) -> Self:
        """The batch with images and labels on `device`; indices and views stay on the CPU."""
        return replace(self, images=to_device(self.images, device), labels=to_device(self.labels, device))


def to_unit_range(pixels: Tensor) -> Tensor:
    """Pixels (uint8, any shape) divided by 255, as float32 in [0, 1]."""
    return pixels.to(torch.float32).div_(255)


def epoch_order(size: int, seed: int, epoch: int) -> Tensor:
    """Return the permutation (int64 [size]) in which an epoch visits the images; a pure function."""
    # Torch's CPU generator uses only 32 bits of a seed; hashing makes every bit of both numbers count.
    digest = hashlib.sha256(f"sftok epoch order: seed {seed}, epoch {epoch}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))
    return torch.randperm(size, generator=generator)


def training_batches(
    image_set: ImageSet,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    augmentation: AugmentationConfig | None = None,
    world: World = SINGLE,
) -> Iterator[Batch]:
    """Yield batches `start_step`, `start_step + 1`, ... without end.

    Batch i depends only on `(seed, i)` and the augmentation, so a stream that starts at step i equals one
    that was advanced to it. Each epoch is a new permutation without its last, incomplete batch: no image
    occurs twice in an epoch, and `len(image_set) % batch_size` images, different ones each time, do not
    occur. With an augmentation, an epoch shows one view of the images, otherwise the center crops. A thread
    reads the next batches while the caller works on the current one.

    Args:
        image_set: the images.
        batch_size: the number of images over all ranks of `world`; each rank reads its share.
        seed: determines the order.
        start_step: the index of the first batch.
        augmentation: determines the views.
        world: the ranks that share a batch.

    Raises:
        ConfigError: at the call, if the ranks cannot share a batch evenly.
        DataError: at the call, if a batch is empty or larger than the set.
    """
    world.share_of(batch_size)
    _refuse_empty(image_set, batch_size)
    per_epoch = len(image_set) // batch_size
    if not per_epoch:
        raise DataError(
            f"{image_set.name}: batch_size = {batch_size} is more than its {len(image_set)} images; "
            "use a smaller batch or more images"
        )

    def looks() -> Iterator[Look]:
        epoch, place = divmod(start_step, per_epoch)
        while True:
            order = epoch_order(len(image_set), seed, epoch)
            view = 0 if augmentation is None else augmentation.view_of(epoch)
            for step in range(place, per_epoch):
                yield world.share(order[step * batch_size : (step + 1) * batch_size]), view
            epoch, place = epoch + 1, 0

    return _read_ahead(image_set, looks(), augmentation)


def ordered_batches(
    image_set: ImageSet,
    batch_size: int,
    *,
    places: range | None = None,
    augmentation: AugmentationConfig | None = None,
    view: int = 0,
) -> Iterator[Batch]:
    """Yield every image (or those at `places`) once, in order; the last batch may be smaller.

    With an augmentation, view `view` of the images is shown, otherwise the center crops.

    Raises:
        DataError: at the call, if `batch_size` is not positive.
    """
    _refuse_empty(image_set, batch_size)
    wanted = range(len(image_set)) if places is None else places
    parts = torch.arange(wanted.start, wanted.stop, wanted.step).split(batch_size)
    return _read_ahead(image_set, ((part, view) for part in parts), augmentation)


def _refuse_empty(image_set: ImageSet, batch_size: int) -> None:
    if batch_size < 1:
        raise DataError(f"{image_set.name}: batch_size = {batch_size}; it must be at least 1")


def _read_ahead(
    image_set: ImageSet, looks: Iterator[Look], augmentation: AugmentationConfig | None
) -> Iterator[Batch]:
    active = augmentation if augmentation is not None and augmentation.active else None

    def read(look: Look) -> Tensor:
        return image_set.images(look[0]) if active is None else image_set.views(look[0], active.crops(*look))

    def batch(look: Look, pixels: Future[Tensor]) -> Batch:
        indices, view = look
        views = None if active is None else torch.full_like(indices, view)
        return Batch(to_unit_range(pixels.result()), image_set.labels(indices), indices, views)

    # Only reading runs ahead, and image sets read without torch's arithmetic: on this thread, torch would
    # start its own thread pool, which would spin on the training's cores and halve its speed.
    reader = ThreadPoolExecutor(1, "sftok-batches")
    pending: deque[tuple[Look, Future[Tensor]]] = deque()
    try:
        for look in looks:
            pending.append((look, reader.submit(read, look)))
            if len(pending) > READ_AHEAD:
                yield batch(*pending.popleft())
        while pending:
            yield batch(*pending.popleft())
    finally:
        reader.shutdown(cancel_futures=True)
