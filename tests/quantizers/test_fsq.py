"""FSQ against the numbers of vector-quantize-pytorch and COSMOS, and its implicit codebook."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from authors import TOLERANCE, numbers, sequence
from pydantic import ValidationError
from safetensors.torch import load_file
from torch.testing import assert_close

from sftok.quantizers.fsq import FSQConfig

REFERENCE = Path(__file__).parents[1] / "data" / "reference" / "fsq.safetensors"
"""The entries of FSQ among numbers made with vector-quantize-pytorch 1.32."""

LEVELS = {"fsq3": (8, 6, 5), "fsq6": (8, 8, 8, 5, 5, 5)}


@pytest.mark.parametrize("name", LEVELS)
def test_ids_codes_and_gradients_are_those_of_the_library(name: str) -> None:
    reference = load_file(REFERENCE)
    quantizer = FSQConfig(levels=LEVELS[name]).build(len(LEVELS[name]))
    latents = reference[f"in.{name}.z"].float().requires_grad_()
    found = quantizer(latents)
    assert torch.equal(found.ids, reference[f"out.{name}.ids"].long())
    assert_close(found.quantized, reference[f"out.{name}.quantized"].float(), atol=1e-5, rtol=0)
    found.quantized.backward(reference[f"in.{name}.grad_out"].float())
    assert_close(latents.grad, reference[f"out.{name}.grad_z"].float(), atol=1e-5, rtol=1e-5)
    assert torch.equal(quantizer.assign(latents), found.ids)


def test_ids_codes_and_gradients_are_those_of_cosmos() -> None:
    reference = {name.removeprefix("fsq."): value for name, value in numbers("cosmos").items()}
    quantizer = FSQConfig(levels=LEVELS["fsq6"]).build(6)
    latents = sequence(reference["in.latent"]).requires_grad_()
    found = quantizer(latents)
    assert_close(quantizer.bound(latents), sequence(reference["out.bounded"]), **TOLERANCE)
    assert torch.equal(found.ids, reference["out.ids"].flatten(1))
    assert_close(found.quantized, sequence(reference["out.codes"]), **TOLERANCE)
    (found.quantized * sequence(reference["in.cotangent"])).sum().backward()
    assert_close(latents.grad, sequence(reference["out.grad_latent"]), **TOLERANCE)
    assert torch.equal(quantizer.lookup(reference["in.some_ids"]), reference["out.some_codes"])
    extremes = torch.tensor([-torch.inf, 0, torch.inf]).unsqueeze(1).expand(3, 6)
    assert_close(quantizer.bound(extremes), reference["out.bound_at_minus_inf_zero_plus_inf"], **TOLERANCE)


@pytest.mark.parametrize("levels", [(2,), (3, 4), (8, 6, 5)])
def test_every_combination_of_levels_is_a_code(levels: tuple[int, ...]) -> None:
    quantizer = FSQConfig(levels=levels).build(len(levels))
    codes = quantizer.codebook()
    assert len(codes.unique(dim=0)) == quantizer.codebook_size
    for channel, count in enumerate(levels):
        found = codes[:, channel].unique()
        assert len(found) == count
        assert found.min() == -1


@pytest.mark.parametrize(("levels", "message"), [((), "at least 1"), ((8, 1), "at least 2 levels")])
def test_levels_that_cannot_be_used_are_refused(levels: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FSQConfig(levels=levels)


def test_the_latents_have_as_many_channels_as_levels() -> None:
    with pytest.raises(ValueError, match="3 levels for latents of 16 channels; set token_dim to 3"):
        FSQConfig(levels=(8, 6, 5)).check(16, 4)
