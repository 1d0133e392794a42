from __future__ import annotations

import torch

from sftok.data.base import MemoryImageSet
from sftok.data.batches import training_batches
from sftok.data.without_pixels import WithoutPixels


def test_batches_are_the_same_but_for_the_pixels() -> None:
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
