from __future__ import annotations

import numpy as np
import pytest
import torch

from sftok.data.base import MemoryImageSet
from sftok.data.batches import Batch, training_batches
from sftok.tokens import FILE_NAME, TokenCache, write_tokens
from sftok.weights import DamagedFileError

COUNT = 11


@pytest.fixture
def images() -> MemoryImageSet:
    pixels = torch.arange(COUNT, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).contiguous()
    return MemoryImageSet("tiny/train", ("a",), pixels, torch.zeros(COUNT, dtype=torch.int64))


class Brightness:
    """An image's ids: its brightness, and another far above it."""

    num_tokens = 2

    def __init__(self, codebook_size: int = 1 << 16) -> None:
        self.codebook_size = codebook_size

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        brightness = (images[:, 0, 0, 0] * 255).round().long()
        return torch.stack([brightness, brightness + 60_000], dim=1)


def test_a_batch_finds_the_ids_of_its_images(images, tmp_path):
    seen = []
    write_tokens(Brightness(), images, tmp_path, 4, lambda *counts: seen.append(counts))
    assert seen == [(4, COUNT), (8, COUNT), (COUNT, COUNT)]
    cache = TokenCache(tmp_path, COUNT, 2)
    for _, batch in zip(range(5), training_batches(images, 3, seed=0), strict=False):
        assert torch.equal(cache(batch), Brightness().encode(batch.images))
        assert cache(batch).dtype == torch.int64


@pytest.mark.parametrize(("codebook_size", "dtype"), [(1 << 16, "uint16"), ((1 << 16) + 1, "int32")])
def test_ids_take_no_more_bytes_than_they_need(images, tmp_path, codebook_size, dtype):
    path = write_tokens(Brightness(codebook_size), images, tmp_path, 20)
    assert path == tmp_path / FILE_NAME
    assert np.load(path).dtype == dtype


def test_an_interrupted_cache_is_no_cache(images, tmp_path):
    def stop(done: int, total: int) -> None:
        if done > 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_tokens(Brightness(), images, tmp_path, 4, stop)
    with pytest.raises(DamagedFileError, match=r"codes\.npy: not a complete code cache"):
        TokenCache(tmp_path, COUNT, 2)


def test_a_cache_of_other_images_is_refused(images, tmp_path):
    write_tokens(Brightness(), images, tmp_path, 4)
    with pytest.raises(DamagedFileError, match=r"shape \(11, 2\), expected \(11, 3\)"):
        TokenCache(tmp_path, COUNT, 3)


def test_ids_are_where_the_images_are(images, tmp_path):
    write_tokens(Brightness(), images, tmp_path, 4)
    batch = Batch(torch.empty(2, 3, 2, 2, device="meta"), torch.zeros(2), torch.tensor([3, 1]))
    assert TokenCache(tmp_path, COUNT, 2)(batch).device.type == "meta"
