"""The commands on released files of other systems: here a tiny ViT-VQGAN, laid out as its authors'."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sftok.__main__ import main
from sftok.tokenizers.hub import open_tokenizer

TINY = Path(__file__).parents[1] / "data" / "reference" / "tokenizers" / "vit_vqgan.safetensors"


@pytest.fixture
def released(tmp_path: Path) -> str:
    """As a training checkpoint, with the discriminator that its authors' file has."""
    weights = {
        key.removeprefix("weights."): value.float()
        for key, value in load_file(TINY).items()
        if key.startswith("weights.")
    }
    path = tmp_path / "imagenet_vitvq.ckpt"
    extra = {"loss.discriminator.weight": torch.zeros(3), "loss.logvar": torch.zeros(1)}
    torch.save({"state_dict": weights | extra, "epoch": 99, "optimizer_states": []}, path)
    return str(path)


def test_a_released_file_opens_and_gives_the_authors_ids(released):
    numbers = load_file(TINY)
    assert torch.equal(open_tokenizer(released).encode(numbers["in.images"]), numbers["out.ids"])


def test_info_describes_it(released, capsys):
    assert main(["info", "--checkpoint", released, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["architecture"], found["image_size"]) == ("pixel-tokenizer", 32)
    assert (found["num_tokens"], found["codebook_size"]) == (16, 64)
    assert found["config"]["quantizer"]["name"] == "vq"


def test_tokens_of_images_and_images_of_tokens(released, draw, tmp_path):
    draw("photos/one.png", width=40, height=33)
    assert (
        main(["tokenize", str(tmp_path / "photos"), "--checkpoint", released, "-o", str(tmp_path / "t.npz")])
        == 0
    )
    with np.load(tmp_path / "t.npz", allow_pickle=False) as tokens:
        assert tokens["ids"].shape == (1, 16)
    pictures = tmp_path / "pictures"
    assert main(["reconstruct", str(tmp_path / "t.npz"), "--checkpoint", released, "-o", str(pictures)]) == 0
    [picture] = pictures.glob("**/*.png")
    assert Image.open(picture).size == (32, 32)
