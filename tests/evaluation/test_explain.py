"""Each variation changes what it says, and nothing else."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sftok.data import DataConfig, load
from sftok.evaluation.explain import VARIATIONS, explain, jpeg95, native_resizes, resized
from sftok.evaluation.reconstruction import evaluate
from sftok.evaluation.subjects.codec import CodecConfig


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Wide photos of two classes, with structure that crops and filters change."""
    draws = np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 20)):
        for number in range(count):
            coarse = Image.fromarray(draws.integers(0, 256, (6, 9, 3), np.uint8))
            file = tmp_path / "photos" / split / "ab"[number % 2] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            coarse.resize((60, 40), Image.Resampling.BICUBIC).save(file)
    return tmp_path / "photos"


@pytest.fixture
def split_of(folder):
    return lambda split: load(DataConfig(source="folder", path=str(folder), image_size=16), split)


def test_every_variation_has_a_number_and_the_first_is_that_of_the_protocol(
    split_of, config, extractor, tmp_path
) -> None:
    labelled = dataclasses.replace(extractor, label="efficientnet-lite0@64", network=averaged)
    images = split_of("test")
    codec = CodecConfig(codec="jpeg", qualities=(30,)).open().on(images).measured
    found = explain(codec, images, config, labelled, tmp_path, training_set=split_of("train"))
    values = {row["variation"]: row["value"] for row in found.rows}
    assert list(values) == [each.name for each in VARIATIONS]
    plain = dataclasses.replace(labelled, label="classifier")
    (expected,) = (
        row["value"]
        for row in evaluate(codec, images, config, [plain], tmp_path).rows
        if row["metric"] == "rfid"
    )
    assert values["protocol"] == pytest.approx(expected, rel=1e-6)
    assert values["batch-1"] == pytest.approx(expected, rel=1e-5)
    assert values["batch-100"] == pytest.approx(expected, rel=1e-5)
    assert values["squashed"] > expected
    assert values["train"] > expected
    changed = {name for name, value in values.items() if abs(value - expected) > 1e-4 * expected}
    assert changed >= {"squashed", "train", "jpeg95", "bilinear", "no-antialias", "half", "tenth"}


def averaged(pixels):
    """Features of images of any size: coarse colors."""
    small = torch.nn.functional.adaptive_avg_pool2d(pixels.float() / 255, 4)
    return small.flatten(1)[:, :12] * 10, None


def test_images_without_files_leave_out_what_resizes_them(
    tokenizer, images, config, extractor, tmp_path
) -> None:
    found = explain(tokenizer, images, config, extractor, tmp_path)
    names = {row["variation"] for row in found.rows}
    assert names == {"protocol", "rounded", "jpeg95", "batch-1", "batch-100", "half", "tenth"}
    assert [row["n_images"] for row in found.rows if row["variation"] == "tenth"] == [len(images) // 10]


def test_a_square_photo_is_squashed_as_the_data_set_resizes_it(split_of) -> None:
    images = split_of("test")
    squashed = resized(images, [0], "squashed")
    content = Image.open(io.BytesIO(images.content(0))).convert("RGB")
    assert (squashed[0].permute(1, 2, 0).numpy() == np.asarray(content.resize((16, 16), 3))).all()
    for how in ("bilinear", "no-antialias"):
        other = resized(images, [0], how).int() - images.images(torch.tensor([0])).int()
        assert 0 < other.abs().float().mean() < 10


def test_resizes_give_what_the_network_takes_and_jpeg_changes_little(images) -> None:
    inception, efficientnet = native_resizes("inception-v3-compat"), native_resizes("efficientnet-lite0@64")
    assert inception["clean-fid"](images.pixels[:2]).shape == (2, 3, 299, 299)
    assert inception.keys() == {"clean-fid"}, "it resizes as TensorFlow did itself"
    assert {change(images.pixels[:2]).shape for change in efficientnet.values()} == {(2, 3, 64, 64)}
    assert native_resizes("classifier") == {}
    difference = (jpeg95(images.pixels).int() - images.pixels.int()).abs().float()
    assert 0 < difference.mean() < 10
