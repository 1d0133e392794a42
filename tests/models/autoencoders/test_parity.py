"""Whole tokenizers by the numbers of the authors' public code, with random weights at tiny sizes.

The weights are read as those of released checkpoints are, so that names and quirks are tested as well.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from einops import rearrange
from safetensors.torch import load_file
from torch import Tensor
from torch.testing import assert_close

from sftok.checkpoints.files import WeightFile
from sftok.checkpoints.layouts import interpret
from sftok.config import flat
from sftok.models.autoencoders.vit_vqgan import sine_positions
from sftok.tokenizers.pixel import PixelTokenizer

REFERENCE = Path(__file__).parents[2] / "data" / "reference"
TINY = REFERENCE / "tokenizers"
Numbers = dict[str, Tensor]


@dataclass(frozen=True)
class System:
    """Where the numbers of a system are, and what its shapes do not tell.

    Attributes:
        image_size: pixels per side.
        changes: of the record that the shapes imply, by dotted key.
        latents: the encoder's output, and how it is laid out.
        ids: the ids of a batch as they are in this package.
        image: decoded from the ids.
        centered: whether images are in [-1, 1] there.
    """

    image_size: int
    changes: dict[str, Any] = field(default_factory=dict)
    latents: tuple[str, str] = ("out.latent", "b d h w -> b (h w) d")
    ids: Callable[[Numbers], Tensor] = lambda numbers: numbers["out.ids"].long().reshape(2, -1)
    image: str = "out.image"
    centered: bool = True


def imagefolder_ids(numbers: Numbers) -> Tensor:
    names = [f"out.ids.branch{branch}.scale{scale}" for branch in range(2) for scale in range(6)]
    return torch.cat([numbers[name] for name in names], dim=1)


SYSTEMS = {
    "taming_vqgan": System(16),
    "rqvae": System(16, latents=("out.latent", "b h w d -> b (h w) d")),
    "movq": System(16),
    "vqgan_lc": System(16),
    "cosmos": System(32),
    "ldm_vq": System(32, {"autoencoder.norm_groups": 8}, image="out.image_quantized"),
    "llamagen": System(32, latents=("out.quant_conv", "b d h w -> b (h w) d")),
    "vit_vqgan": System(32, latents=("out.latent", "b n d -> b n d"), centered=False),
    "maskbit": System(32, latents=("out.encoder", "b d h w -> b (h w) d"), centered=False),
    "open_magvit2_tokenizer": System(32, latents=("out.encoder", "b d h w -> b (h w) d")),
    "imagefolder": System(
        64,
        {"autoencoder.heads": 2, "quantizer.scales": (1, 1, 2, 2, 3, 4)},
        latents=("out.latent", "b d (branch n) one -> b n (branch d one)"),
        ids=imagefolder_ids,
    ),
}


def numbers_of(name: str) -> Numbers:
    return load_file(TINY / f"{name}.safetensors")


def weights_of(numbers: Numbers) -> Numbers:
    """The released tensors, in float32."""
    return {
        key.removeprefix("weights."): value.float() if value.is_floating_point() else value
        for key, value in numbers.items()
        if key.startswith("weights.")
    }


def build(weights: Numbers, system: System) -> PixelTokenizer:
    checkpoint = interpret(WeightFile(Path("tiny.bin"), weights, None))
    record = json.loads(json.dumps({**checkpoint.record, "image_size": system.image_size}))
    for key, value in system.changes.items():
        part, name = key.split(".")
        assert key in flat(record)
        record[part][name] = value
    return PixelTokenizer.from_checkpoint(replace(checkpoint, record=record))


@pytest.fixture(params=SYSTEMS)
def case(request) -> tuple[System, PixelTokenizer, Numbers]:
    system, numbers = SYSTEMS[request.param], numbers_of(request.param)
    return system, build(weights_of(numbers), system), numbers


def images_of(system: System, numbers: Numbers) -> Tensor:
    images = numbers["in.images"]
    return (images + 1) / 2 if system.centered else images


def assert_parity(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    """Within `tolerance`, relative to the larger of 1 and the largest number."""
    assert_close(found, expected, rtol=0, atol=tolerance * max(1.0, float(expected.abs().max())))


@torch.no_grad()
def test_images_become_the_authors_latents(case):
    system, tokenizer, numbers = case
    name, pattern = system.latents
    sizes = {"branch": 2} if "branch" in pattern else {}
    expected = rearrange(numbers[name], pattern, **sizes)
    assert_parity(tokenizer.encoder(images_of(system, numbers)), expected)


def test_images_become_the_authors_ids(case):
    system, tokenizer, numbers = case
    ids = tokenizer.encode(images_of(system, numbers))
    assert ids.unique().numel() > 4
    assert torch.equal(ids, system.ids(numbers))


@torch.no_grad()
def test_ids_become_the_authors_images(case):
    system, tokenizer, numbers = case
    decoded = tokenizer.decoder(tokenizer.quantizer.lookup(system.ids(numbers)))
    expected = numbers[system.image]
    assert_parity(2 * decoded - 1 if system.centered else decoded, expected, tolerance=2e-5)


def test_images_pass_through_whole(case):
    system, tokenizer, numbers = case
    reconstruction = tokenizer.decode(tokenizer.encode(images_of(system, numbers)))
    expected = numbers[system.image]
    expected = ((expected + 1) / 2 if system.centered else expected).clamp(0, 1)
    assert_close(reconstruction, expected, rtol=0, atol=1e-4)


def test_movq_in_the_layout_of_diffusers_gives_the_same_numbers():
    numbers = numbers_of("movq")
    names = json.loads(gzip.decompress((REFERENCE / "keys_tokenizers.json.gz").read_bytes()))
    weights = weights_of(numbers)
    renamed = {
        new: weights[old].flatten(1) if ".to_" in new and new.endswith("weight") else weights[old]
        for old, new in names["movq_to_diffusers"].items()
    }
    assert renamed.keys() & weights.keys() < weights.keys()
    tokenizer = build(renamed, SYSTEMS["movq"])
    original = build(weights, SYSTEMS["movq"])
    assert tokenizer.record == original.record
    for name, tensor in original.state_dict().items():
        assert torch.equal(tensor, tokenizer.state_dict()[name]), name


def test_positions_of_vit_vqgan_are_the_authors_initial_ones():
    expected = numbers_of("vit_vqgan")["init.en_pos_embedding"][0]
    assert_close(sine_positions(4, 32), expected, rtol=0, atol=1e-6)


@torch.no_grad()
def test_latents_of_imagefolder_take_the_positions_of_the_patches():
    system, numbers = SYSTEMS["imagefolder"], numbers_of("imagefolder")
    tokenizer = build(weights_of(numbers), system)
    assert_parity(tokenizer.encoder.latent_positions(), numbers["out.latent_position_embedding"][0])
