"""The FID of two folders of photos is what torch-fidelity's own command line says of them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch_fidelity import FeatureExtractorBase, register_feature_extractor
from torch_fidelity.fidelity import main as torch_fidelity_main

from experiments.__main__ import main
from sftok.evaluation.extractors.efficientnet_lite0 import EfficientNetLite0Config

NAME = "efficientnet-lite0-for-torch-fidelity"


class Lite0(FeatureExtractorBase):
    """The feature space of this package as torch-fidelity calls it: Inception's weights are not at hand."""

    def __init__(self, name, features_list, **kwargs):
        super().__init__(name, features_list)
        self.network = EfficientNetLite0Config().build().network

    @staticmethod
    def get_provided_features_list():
        return ("pooled",)

    @staticmethod
    def get_default_feature_layer_for_metric(metric):
        return "pooled"

    @staticmethod
    def can_be_compiled():
        return False

    @torch.no_grad()
    def forward(self, images):
        return (self.network(images)[0],)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Crops of two photos, and the same through a JPEG of low quality, as PNGs."""
    photos, rebuilt = tmp_path / "photos" / "val", tmp_path / "rebuilt"
    for label, photo in zip(("china", "flower"), load_sample_images().images, strict=True):
        (photos / label).mkdir(parents=True)
        (rebuilt / label).mkdir(parents=True)
        for number, corner in enumerate(np.ndindex(6, 9)):
            top, left = (64 * place for place in corner)
            crop = Image.fromarray(photo[top : top + 64, left : left + 64])
            crop.save(photos / label / f"{number}.png")
            file = io.BytesIO()
            crop.save(file, "JPEG", quality=15)
            Image.open(file).save(rebuilt / label / f"{number}.png")
    (photos.parent / "train").symlink_to(photos)
    return photos, rebuilt


def test_the_fid_of_reconstructions_is_that_of_torch_fidelitys_command_line(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch, capsys
) -> None:
    photos, rebuilt = folders
    register_feature_extractor(NAME, Lite0)
    line = [
        "fidelity",
        "--input1",
        str(rebuilt),
        "--input2",
        str(photos),
        "--fid",
        "--cpu",
        "--json",
        "--silent",
    ]
    line += ["--feature-extractor", NAME, "--samples-find-deep", "--no-cache"]
    monkeypatch.setattr(sys, "argv", line)
    torch_fidelity_main()
    theirs = json.loads(capsys.readouterr().out)["frechet_inception_distance"]

    ours = {}
    for option in ("--reconstructions", "--samples"):
        line = ["evaluate", option, str(rebuilt), "--data", str(photos.parent), "--format", "json"]
        assert main([*line, "--store", str(tmp_path / "runs")]) == 0
        ours |= {row["metric"]: row["value"] for row in json.loads(capsys.readouterr().out)}
    assert ours["rfid"] == pytest.approx(theirs, rel=1e-4)
    assert ours["gfid"] == pytest.approx(theirs, rel=1e-4)
    assert theirs > 1
