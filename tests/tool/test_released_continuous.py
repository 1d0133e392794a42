"""The commands on a released tokenizer without ids: a tiny DC-AE, in the file of its generator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sftok.__main__ import main

TINY = Path(__file__).parents[1] / "data" / "reference" / "continuous_tiny.safetensors"


@pytest.fixture
def released(tmp_path: Path) -> str:
    prefix = "dcae_sana.weights."
    weights = {
        key.replace(prefix, "first_stage_model."): value.float()
        for key, value in load_file(TINY).items()
        if key.startswith(prefix)
    }
    path = tmp_path / "generator.ckpt"
    torch.save({"state_dict": weights | {"model.diffusion_model.out.weight": torch.zeros(3)}}, path)
    return str(path)


def test_info_describes_latents(released, capsys):
    assert main(["info", "--checkpoint", released, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["image_size"], found["num_tokens"], found["codebook_size"]) == (256, 128**2, 0)
    assert found["config"]["autoencoder"]["resampling"] == "convolution"
    assert main(["info", "--checkpoint", released]) == 0
    assert "16384 per image, continuous latents without ids" in capsys.readouterr().out


def test_reconstruct_takes_images(released, draw, tmp_path):
    draw("photos/one.png", width=300, height=260)
    arguments = ["reconstruct", str(tmp_path / "photos"), "--checkpoint", released]
    assert main([*arguments, "-o", str(tmp_path / "pictures")]) == 0
    [picture] = (tmp_path / "pictures").glob("**/*.png")
    assert Image.open(picture).size == (256, 256)


def test_tokenize_says_in_one_line_that_there_are_no_ids(released, draw, tmp_path, capsys):
    draw("photos/one.png", width=300, height=260)
    tokens = tmp_path / "tokens.npz"
    assert main(["tokenize", str(tmp_path / "photos"), "--checkpoint", released, "-o", str(tokens)]) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert f"{released}: its latents are continuous, so there are no ids to write" in said
    assert not tokens.exists()
