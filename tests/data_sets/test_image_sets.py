from __future__ import annotations

import pytest
import torch

from sftok.data.base import MemoryImageSet
from sftok.data.batches import training_batches
from sftok.data.without_pixels import WithoutPixels


def gray_set(**changes) -> MemoryImageSet:
    fields = {
        "name": "gray",
        "class_names": ("a", "b"),
        "pixels": torch.arange(5 * 4 * 4, dtype=torch.uint8).reshape(5, 1, 4, 4),
        "targets": torch.tensor([0, 1, 0, 1, 1]),
    }
    return MemoryImageSet(**{**fields, **changes})


def test_gray_images_are_returned_as_rgb():
    image_set = gray_set()
    images = image_set.images(torch.tensor([3, 0]))
    assert images.shape == (2, 3, 4, 4)
    assert images.dtype == torch.uint8
    assert images.is_contiguous()
    for channel in range(3):
        assert torch.equal(images[:, channel], image_set.pixels[[3, 0], 0])
    assert image_set.labels(torch.tensor([3, 0])).tolist() == [1, 0]
    assert (len(image_set), image_set.num_classes) == (5, 2)


@pytest.mark.parametrize("channels", [1, 3])
def test_returned_images_are_copies(channels):
    image_set = gray_set(pixels=torch.zeros(5, channels, 4, 4, dtype=torch.uint8))
    image_set.images(torch.arange(5)).fill_(7)
    assert int(image_set.pixels.max()) == 0


def test_the_fingerprint_depends_on_content_and_order():
    reference = gray_set().fingerprint
    assert len(reference) == 64
    assert gray_set().fingerprint == reference
    pixels = gray_set().pixels.clone()
    pixels[4, 0, 3, 3] += 1
    others = [
        gray_set(pixels=pixels),
        gray_set(pixels=gray_set().pixels.flip(0)),
        gray_set(pixels=gray_set().pixels.reshape(5, 1, 2, 8)),
        gray_set(targets=torch.tensor([0, 1, 0, 1, 0])),
        gray_set(class_names=("a", "c")),
    ]
    assert len({reference, *(other.fingerprint for other in others)}) == 6


def test_a_set_without_pixels_gives_the_same_batches_but_for_the_pixels() -> None:
    pixels = torch.arange(12 * 3 * 2 * 2, dtype=torch.uint8).view(12, 3, 2, 2)
    whole = MemoryImageSet("tiny", ("a", "b"), pixels, torch.arange(12) % 2)
    bare = WithoutPixels(whole)
    assert (bare.name, bare.class_names, bare.num_classes, bare.fingerprint, len(bare)) == (
        "tiny", ("a", "b"), 2, whole.fingerprint, 12,
    )  # fmt: skip
    expected, found = training_batches(whole, 4, seed=3), training_batches(bare, 4, seed=3)
    for _ in range(4):
        one, other = next(expected), next(found)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.indices, other.indices)
        assert other.images.shape == (4, 3, 0, 0)
    assert bare.views(torch.arange(2), []).shape == (2, 3, 0, 0)
