from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from sftok.models.autoencoders.convolutional import SpatialNorm
from sftok.models.autoencoders.taming import TamingConfig, haar, inverse_haar

TINY = Path(__file__).parents[2] / "data" / "reference" / "tokenizers"


def test_the_wavelet_transform_has_the_authors_coefficients():
    numbers = load_file(TINY / "haar.safetensors")
    images = numbers["haar.in.images"]
    assert_close(haar(images), numbers["haar.out.patches_2"], rtol=0, atol=1e-6)
    assert_close(haar(haar(images)), numbers["haar.out.patches_4"], rtol=0, atol=1e-6)
    restored = inverse_haar(inverse_haar(numbers["haar.in.patches_4"]))
    assert_close(restored, numbers["haar.out.images_4"], rtol=0, atol=1e-5)


def test_the_wavelet_transform_is_undone():
    images = torch.rand(2, 3, 12, 8, generator=torch.Generator().manual_seed(0))
    assert_close(inverse_haar(haar(images)), images)


def test_the_spatial_norm_has_the_authors_numbers():
    numbers = {key.removeprefix("spatial_norm."): value for key, value in spatial().items()}
    norm = SpatialNorm(32, 32, 4)
    names = {"norm": "norm_layer", "scale": "conv_y", "shift": "conv_b"}
    norm.load_state_dict(
        {
            f"{ours}.{kind}": numbers[f"weights.{theirs}.{kind}"]
            for ours, theirs in names.items()
            for kind in ("weight", "bias")
        }
    )
    found = norm(numbers["in.features"], numbers["in.quantized"])
    assert_close(found, numbers["out"], rtol=0, atol=1e-5)


def spatial() -> dict[str, torch.Tensor]:
    return load_file(TINY / "spatial_norm.safetensors")


@pytest.mark.parametrize(
    ("changes", "factor"),
    [({}, 16), ({"halvings": 1}, 2), ({"haar_levels": 2}, 64), ({"haar_levels": 2, "halvings": 2}, 16)],
)
def test_the_factor_counts_halvings_and_wavelets(changes, factor):
    assert TamingConfig(**changes).factor == factor
    assert TamingConfig(**changes).num_latents(256) == (256 // factor) ** 2
