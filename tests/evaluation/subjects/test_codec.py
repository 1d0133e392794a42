from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image, features

from sftok.data.batches import Batch
from sftok.evaluation.subjects.base import SubjectError
from sftok.evaluation.subjects.codec import CodecConfig


def decoded(name: str, images, quality: int):
    subject = CodecConfig(codec=name, qualities=(quality,)).open().on(images)
    (decoding,) = subject.measured.decodings(None, "codec")
    assert decoding.coordinates == {"quality": quality}
    places = torch.arange(len(images))
    return decoding.decode(Batch(images.pixels / 255, images.targets, places), None)


def test_an_image_is_what_the_files_reader_gives_and_bits_are_those_of_the_file(images) -> None:
    file = io.BytesIO()
    Image.fromarray(images.pixels[3].permute(1, 2, 0).numpy()).save(file, "JPEG", quality=30)
    found = decoded("jpeg", images, 30)
    assert found.bits[3] == 8 * len(file.getvalue())
    expected = np.array(Image.open(file)).transpose(2, 0, 1)
    assert ((found.images[3] * 255).round().byte().numpy() == expected).all()


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif"])
def test_quality_costs_bits_and_buys_likeness(images, name: str) -> None:
    if name != "jpeg" and not features.check(name):
        pytest.skip(f"Pillow without {name}")
    worse, better = decoded(name, images, 5), decoded(name, images, 95)
    assert worse.bits.mean() < better.bits.mean()
    original = images.pixels / 255
    assert (worse.images - original).square().mean() > (better.images - original).square().mean()


def test_a_codec_that_is_not_there_and_a_quality_out_of_range_are_refused(monkeypatch) -> None:
    with pytest.raises(SubjectError, match="quality 101; it must be from 0 to 100"):
        CodecConfig(codec="jpeg", qualities=(101,)).open()
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(SubjectError, match="was built without avif"):
        CodecConfig(codec="avif").open()
