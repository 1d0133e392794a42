"""The images of each split: one fixed, class-balanced order, cut at fixed positions."""

from __future__ import annotations

import torch
from torch import Tensor

from sftok.data.base import DataConfig, DataError, Selection, Split

ORDER_SEED = 20250101
"""Seed of the order of every data set; a constant, so that all runs (and seeds) see the same splits."""


def balanced_order(labels: Tensor) -> Tensor:
    """A fixed permutation of `labels` (int64 [n]) in which every part resembles the whole.

    One image of each class comes first, so any prefix at least as long as the number of classes has all of
    them. After that each class is spread evenly: any prefix or suffix contains it in proportion, up to one or
    two images and the share taken by the other classes' first images. The order depends only on the labels
    and their order.

    Returns:
        positions, int64 [n].
    """
    generator = torch.Generator().manual_seed(ORDER_SEED)
    shuffled = torch.randperm(len(labels), generator=generator)
    jitter = torch.rand(len(labels), generator=generator, dtype=torch.float64)
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    sizes = labels.bincount()
    first = sizes.cumsum(0) - sizes
    rank = torch.arange(len(labels)) - first[labels[by_class]]
    place = (rank + jitter) / sizes[labels[by_class]]
    place = torch.where(rank == 0, jitter - 1, place)
    return by_class[place.argsort(stable=True)]


def selection(config: DataConfig, split: Split) -> Selection:
    """Return the rule that chooses the images of `split` from its source.

    Validation is the last `validation_images` of the training images in `balanced_order`, train is the rest;
    test uses the test images. `limit` keeps the first images of a split in its balanced order.
    """

    def choose(labels: Tensor) -> Tensor:
        order = balanced_order(labels)
        if split != "test":
            kept = len(order) - config.validation_images
            if kept < 1:
                raise DataError(
                    f"{config.source}: data.validation_images = {config.validation_images} leaves none "
                    f"of the {len(order)} training images to train on; lower it"
                )
            order = order[:kept] if split == "train" else order[kept:]
        if not len(order):
            raise DataError(
                f"{config.source}: data.validation_images = 0, so the split is empty; set it to 1 or more"
            )
        # Balanced again, because the validation suffix does not start with one image of each class.
        return order[balanced_order(labels[order])[: config.limit]]

    return choose
