from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from sftok.data import DataConfig
from sftok.data.base import MemoryImageSet


def grey_set(**changes) -> MemoryImageSet:
    fields = {
        "name": "grey",
        "class_names": ("a", "b"),
        "pixels": torch.arange(5 * 4 * 4, dtype=torch.uint8).reshape(5, 1, 4, 4),
        "targets": torch.tensor([0, 1, 0, 1, 1]),
    }
    return MemoryImageSet(**{**fields, **changes})


def test_grey_images_come_out_as_rgb():
    image_set = grey_set()
    images = image_set.images(torch.tensor([3, 0]))
    assert images.shape == (2, 3, 4, 4)
    assert images.dtype == torch.uint8
    assert images.is_contiguous()
    for channel in range(3):
        assert torch.equal(images[:, channel], image_set.pixels[[3, 0], 0])
    assert image_set.labels(torch.tensor([3, 0])).tolist() == [1, 0]
    assert (len(image_set), image_set.num_classes) == (5, 2)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_the_callers_own(channels):
    image_set = grey_set(pixels=torch.zeros(5, channels, 4, 4, dtype=torch.uint8))
    image_set.images(torch.arange(5)).fill_(7)
    assert int(image_set.pixels.max()) == 0


def test_fingerprint_goes_by_content_and_order():
    reference = grey_set().fingerprint
    assert len(reference) == 64
    assert grey_set().fingerprint == reference
    pixels = grey_set().pixels.clone()
    pixels[4, 0, 3, 3] += 1
    others = [
        grey_set(pixels=pixels),
        grey_set(pixels=grey_set().pixels.flip(0)),
        grey_set(pixels=grey_set().pixels.reshape(5, 1, 2, 8)),
        grey_set(targets=torch.tensor([0, 1, 0, 1, 0])),
        grey_set(class_names=("a", "c")),
    ]
    assert len({reference, *(other.fingerprint for other in others)}) == 6


@pytest.mark.parametrize(
    "wrong",
    [{"limit": 0}, {"validation_images": -1}, {"unreadable": "ignore"}, {"image_size": 0}, {"shuffle": True}],
)
def test_a_wrong_configuration_is_refused(wrong):
    with pytest.raises(ValidationError):
        DataConfig(**wrong)
