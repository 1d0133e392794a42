"""Classes that the tokens tell are found; classes that they do not tell are not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sftok.data.base import MemoryImageSet
from sftok.evaluation.probe import embedding_of, probe
from sftok.evaluation.subjects.codec import CodecConfig


class Brightness(nn.Module):
    """Four levels of gray, embedded at random."""

    codebook_size = 4

    def __init__(self) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))

    def encode(self, images: Tensor) -> Tensor:
        return (images.mean((1, 2, 3)) * 3.99).long()[:, None]

    def embed(self, ids: Tensor) -> Tensor:
        return self.codes[ids]


def gray(labels: Tensor) -> MemoryImageSet:
    pixels = (labels * 64 + 20).byte()[:, None, None, None].expand(-1, 3, 4, 4).clone()
    return MemoryImageSet("gray", tuple("abcd"), pixels, labels)


@pytest.mark.parametrize(("shuffled", "low", "high"), [(False, 1.0, 1.0), (True, 0.0, 0.6)])
def test_accuracy_is_of_what_the_tokens_tell(shuffled: bool, low: float, high: float) -> None:
    labels = torch.arange(80) % 4
    images, model = gray(labels), Brightness()
    if shuffled:
        order = torch.randperm(80, generator=torch.Generator().manual_seed(1))
        images = MemoryImageSet("gray", images.class_names, images.pixels, labels[order])
    embed = embedding_of(model)
    assert embed is not None
    found = probe(model, embed, images, gray(labels[:40]), 16)
    assert all(low <= value <= high for value in found.values()), found
    assert list(found) == ["linear_probe", "nearest_neighbors"]


def test_the_tokenizers_of_the_package_have_embeddings_and_a_codec_has_none(
    tokenizer, teacher, images
) -> None:
    for model in (tokenizer, teacher):
        embed = embedding_of(model)
        assert embed is not None
        ids = model.encode(images.pixels[:2] / 255)
        assert embed(ids).shape[:2] == ids.shape
    assert embedding_of(CodecConfig(codec="jpeg").open().on(images).measured) is None
