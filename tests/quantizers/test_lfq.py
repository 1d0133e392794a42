"""Lookup-free quantization against the numbers of two systems and a library."""

from __future__ import annotations

import math

import pytest
import torch
from authors import TOLERANCE, numbers, sequence
from small_models import draw
from torch import Tensor
from torch.testing import assert_close

from sftok.quantizers.base import Quantized
from sftok.quantizers.entropy import code_entropies
from sftok.quantizers.lfq import LFQConfig

INPUTS = ("wide", "narrow")


def gradient_matches(found: Quantized, latents: Tensor, expected: Tensor) -> None:
    found.loss.backward()
    assert latents.grad is not None
    assert (latents.grad - expected).abs().max() < 1e-3 * expected.abs().max()


@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize(("sample", "batch"), [(1, 1), (0.5, 2)])
def test_ids_losses_and_gradients_are_those_of_open_magvit2(given: str, sample: float, batch: float) -> None:
    reference = numbers("open_magvit2")
    weights = {"sample_entropy_weight": sample, "batch_entropy_weight": batch}
    quantizer = LFQConfig(bits=10, **weights).build(10).train()
    latents = sequence(reference[f"in.lfq.{given}.z"]).requires_grad_()
    found, expected = quantizer(latents), f"out.lfq.{given}"
    assert torch.equal(found.ids.flatten(), reference[f"{expected}.ids"])
    assert_close(found.quantized, sequence(reference[f"{expected}.quantized"]), **TOLERANCE)
    assert_close(found.commitment_loss, 0.25 * reference[f"{expected}.commitment"], **TOLERANCE)
    weighted = f"{expected}.w{sample}_{batch}"
    assert_close(found.loss, reference[f"{weighted}.total"], **TOLERANCE)
    gradient_matches(found, latents, sequence(reference[f"{weighted}.grad_z"]))


@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize(("weight", "gamma"), [(0.02, 1), (0.1, 0.5)])
def test_ids_losses_and_gradients_are_those_of_maskbit(given: str, weight: float, gamma: float) -> None:
    reference = numbers("maskbit")
    weights = {"entropy_weight": weight, "batch_entropy_weight": gamma}
    quantizer = LFQConfig(bits=8, entropy_form="clamped", **weights).build(8).train()
    latents = sequence(reference[f"in.lfq.{given}.z"]).requires_grad_()
    found, expected = quantizer(latents), f"out.lfq.{given}"
    assert torch.equal(found.ids, reference[f"{expected}.ids"].flatten(1))
    assert_close(found.quantized, sequence(reference[f"{expected}.quantized"]), **TOLERANCE)
    assert_close(found.commitment_loss, reference[f"{expected}.commitment"], **TOLERANCE)
    weighted = f"{expected}.w{weight}_gamma{gamma}"
    assert_close(found.loss, reference[f"{weighted}.total"], **TOLERANCE)
    gradient_matches(found, latents, sequence(reference[f"{weighted}.grad_z"]))
    assert torch.equal(quantizer.codebook(), reference["out.lfq.codebook"])


@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize("system", ["open_magvit2", "maskbit"])
def test_entropies_are_those_of_the_authors(system: str, given: str) -> None:
    reference = numbers(system)
    latents = sequence(reference[f"in.lfq.{given}.z"]).flatten(0, 1)
    codebook = LFQConfig(bits=latents.shape[1]).build(latents.shape[1]).codebook()
    form = "clamped" if system == "maskbit" else "added"
    sample, batch = code_entropies(2 * latents @ codebook.t() / 0.01, form)
    name = "w0.02_gamma1.avg_entropy" if system == "maskbit" else "batch_entropy"
    assert_close(sample, reference[f"out.lfq.{given}.per_sample_entropy"], **TOLERANCE)
    assert_close(batch, reference[f"out.lfq.{given}.{name}"], **TOLERANCE)


@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize("bits", [8, 10])
def test_another_library_agrees_up_to_the_order_of_bits(bits: int, given: str) -> None:
    reference = numbers("vector_quantize")
    quantizer = LFQConfig(bits=bits, entropy_form="clamped", entropy_weight=1).build(bits)
    found, expected = quantizer(sequence(reference[f"in.lfq{bits}.{given}.z"])), f"out.lfq{bits}.{given}"
    reversed_bits = quantizer.lookup(reference[f"{expected}.ids"].flatten(1)).flip(-1)
    assert torch.equal(found.ids, quantizer.assign(reversed_bits))
    assert_close(found.loss, reference[f"{expected}.total"], **TOLERANCE)


def test_zero_is_minus_one() -> None:
    assert LFQConfig(bits=3).build(3).assign(torch.tensor([[[0.0, 1.0, -0.0]]])).item() == 2


@pytest.mark.parametrize("form", ["added", "clamped"])
def test_the_entropy_loss_falls_as_usage_becomes_uniform_and_latents_sure(form: str) -> None:
    """Public code has had the sign the wrong way round."""
    quantizer = LFQConfig(bits=3, commitment_cost=0, entropy_weight=1, entropy_form=form).build(3).train()
    codes = quantizer.codebook()
    even, one, unsure = (quantizer(x[None]).loss for x in (codes, codes[:1].expand(8, 3), 0 * codes))
    assert_close(even, torch.tensor(-math.log(8)), atol=1e-3, rtol=0)
    assert_close(torch.stack([one, unsure]), torch.zeros(2), atol=1e-3, rtol=0)
    latents = (0.02 * draw(2, 16, 3)).requires_grad_()
    before = quantizer(latents).loss
    (gradient,) = torch.autograd.grad(before, latents)
    assert quantizer(latents - 1e-3 * gradient / gradient.norm()).loss < before


def test_evaluation_has_no_entropy_loss() -> None:
    quantizer, latents = LFQConfig(bits=4).build(4), draw(2, 5, 4)
    assert quantizer.train()(latents).loss != quantizer(latents).commitment_loss
    evaluated = quantizer.eval()(latents)
    assert torch.equal(evaluated.loss, evaluated.commitment_loss)


def test_the_boost_falls_with_the_batches_and_resumes() -> None:
    config = LFQConfig(bits=3, commitment_cost=0, entropy_weight=1, entropy_boost=2, boost_steps=4)
    quantizer, latents = config.build(3), draw(2, 5, 3)
    plain = LFQConfig(bits=3, commitment_cost=0, entropy_weight=1).build(3)(latents).loss
    assert_close(quantizer(latents).loss, 3 * plain)
    quantizer.eval()(latents)
    resumed = config.build(3)
    resumed.load_state_dict(quantizer.state_dict())
    for factor in (2.5, 2.0, 1.5, 1.0, 1.0):
        assert_close(resumed(latents).loss, factor * plain)


def test_bits_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="10 bits for latents of 16 channels"):
        LFQConfig(bits=10).check(16, 4)
