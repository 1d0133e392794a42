"""Batches: for training an endless stream to be entered at any step, for evaluation one ordered pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from sftok.data.base import DataError, ImageSet
from sftok.distributed import SINGLE, World


@dataclass(frozen=True, eq=False)
class Batch:
    """Images and what is known of them.

    Attributes:
        images: float32 [B, 3, H, W] in [0, 1], contiguous.
        labels: int64 [B].
        indices: int64 [B], their places in the image set (the key to cached teacher codes).
    """

    images: Tensor
    labels: Tensor
    indices: Tensor

    def to(self, device: torch.device) -> Self:
        """The batch with images and labels on `device`; the keys to files stay with the CPU."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


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
    image_set: ImageSet, batch_size: int, seed: int, start_step: int = 0, world: World = SINGLE
) -> Iterator[Batch]:
    """Batches `start_step`, `start_step + 1`, ... without end.

    Batch i depends on `(seed, i)` only, so a stream started at step i equals one that ran up to it. An
    epoch is a fresh permutation, of which the last, incomplete batch is dropped: within an epoch no image
    comes twice, and `len(image_set) % batch_size` of them, others each time, do not come at all. The next
    batch is read on a thread of its own while the caller works on this one.

    `batch_size` counts the images of all processes of `world`; this one reads its share of them.

    Raises:
        ConfigError: at the call, if the processes cannot share a batch evenly.
        DataError: at the call, if a batch is larger than the whole set.
    """
    world.share_of(batch_size)
    per_epoch = steps_per_epoch(image_set, batch_size)
    chosen = _endless_indices(len(image_set), per_epoch, batch_size, seed, start_step)
    return _read_ahead(image_set, map(world.share, chosen))


def ordered_batches(image_set: ImageSet, batch_size: int) -> Iterator[Batch]:
    """Every image once, in order; the last batch may be smaller.

    Raises:
        DataError: at the call, if `batch_size` is not positive.
    """
    if batch_size < 1:
        raise DataError(f"{image_set.name}: batch_size = {batch_size}; it must be at least 1")
    return _read_ahead(image_set, iter(torch.arange(len(image_set)).split(batch_size)))


def _endless_indices(
    size: int, per_epoch: int, batch_size: int, seed: int, start_step: int
) -> Iterator[Tensor]:
    epoch, place = divmod(start_step, per_epoch)
    while True:
        order = epoch_order(size, seed, epoch)
        for step in range(place, per_epoch):
            yield order[step * batch_size : (step + 1) * batch_size]
        epoch, place = epoch + 1, 0


def _read_ahead(image_set: ImageSet, chosen: Iterator[Tensor]) -> Iterator[Batch]:
    # Only the reading runs ahead: two threads in torch's arithmetic would compete for the same cores.
    with ThreadPoolExecutor(1, "sftok-batches") as reader:
        pending = None
        for indices in chosen:
            upcoming = indices, reader.submit(image_set.images, indices)
            if pending is not None:
                yield _batch(image_set, pending[0], pending[1].result())
            pending = upcoming
        if pending is not None:
            yield _batch(image_set, pending[0], pending[1].result())


def _batch(image_set: ImageSet, indices: Tensor, pixels: Tensor) -> Batch:
    return Batch(images=to_unit_range(pixels), labels=image_set.labels(indices), indices=indices)
