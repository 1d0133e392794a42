"""VQ against the numbers of the four systems that it serves, and its options."""

from __future__ import annotations

import math

import pytest
import torch
from authors import TOLERANCE, numbers, sequence
from small_models import draw, seeded
from torch import Tensor
from torch.testing import assert_close

from sftok.quantizers.vq import VQ, VQConfig


def with_codes(codes: Tensor, **settings: object) -> VQ:
    quantizer = VQConfig(codebook_size=len(codes), **settings).build(codes.shape[1])
    quantizer.embedding.data = codes
    return quantizer.train()


SYSTEMS = {
    "taming_vqgan": ("quantize", {"use_l2_norm": False, "commitment_cost": 1, "codebook_cost": 0.25}),
    "vit_vqgan": ("quantizer", {"straight_through": "latents"}),
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_ids_loss_and_gradients_are_those_of_the_authors(system: str) -> None:
    reference, (name, settings) = numbers(system), SYSTEMS[system]
    arrange = sequence if reference["out.latent"].ndim == 4 else torch.clone
    quantizer = with_codes(reference[f"weights.{name}.embedding.weight"], **settings)
    latents = arrange(reference["out.latent"]).requires_grad_()
    found = quantizer(latents)
    assert torch.equal(found.ids, reference["out.ids"].flatten(1))
    assert_close(found.quantized, arrange(reference["out.quantized"]), **TOLERANCE)
    loss = "out.quantizer_loss_legacy" if system == "taming_vqgan" else "out.quantizer_loss"
    assert_close(found.loss, reference[loss], **TOLERANCE)
    (found.loss + (found.quantized * arrange(reference["in.cotangent"])).sum()).backward()
    assert_close(latents.grad, arrange(reference["out.grad_latent"]), **TOLERANCE)
    assert_close(quantizer.embedding.grad, reference["out.grad_codebook"], **TOLERANCE)


@pytest.mark.parametrize("weight", [0, 0.1])
def test_losses_of_llamagen_are_those_of_the_authors(weight: float) -> None:
    reference = numbers("llamagen")
    quantizer = with_codes(reference["weights.quantize.embedding.weight"], entropy_weight=weight)
    latents = sequence(reference["out.quant_conv"]).requires_grad_()
    found, expected = quantizer(latents), f"out.loss_entropy{weight}"
    assert torch.equal(found.ids.flatten(), reference["out.ids"])
    assert_close(found.quantized, sequence(reference["out.quantized"]), **TOLERANCE)
    assert_close(found.codebook_loss, reference[f"{expected}.vq"], **TOLERANCE)
    assert_close(found.commitment_loss, reference[f"{expected}.commit"], **TOLERANCE)
    entropy = found.loss - found.codebook_loss - found.commitment_loss
    assert_close(entropy, reference[f"{expected}.entropy"], **TOLERANCE)
    found.loss.backward()
    grads = latents.grad, quantizer.embedding.grad
    wanted = sequence(reference[f"{expected}.grad_quant_conv"]), reference[f"{expected}.grad_embedding"]
    for grad, want in zip(grads, wanted, strict=True):
        assert grad is not None
        assert (grad - want).abs().max() < (1e-3 if weight else 1e-5) * want.abs().max()


def test_llamagen_without_normalization_is_the_authors() -> None:
    reference = numbers("llamagen")
    codes = reference["weights.quantize.embedding.weight"]
    found = with_codes(codes, entropy_weight=0.1, use_l2_norm=False)(sequence(reference["out.quant_conv"]))
    assert torch.equal(found.ids.flatten(), reference["out.no_l2.ids"])
    total = sum(reference[f"out.no_l2.{part}"] for part in ("vq", "commit", "entropy"))
    assert_close(found.loss, total, **TOLERANCE)


def test_each_cost_weighs_its_own_side() -> None:
    """Public code has had them the wrong way round."""
    latents = draw(2, 5, 4).requires_grad_()
    quantizer = with_codes(draw(7, 4, seed=1), commitment_cost=3, codebook_cost=0, use_l2_norm=False)
    found = quantizer(latents)
    pulled, pushed = torch.autograd.grad(found.loss, (latents, quantizer.embedding))
    assert not pushed.any()
    assert_close(pulled, 3 * 2 * (latents - quantizer.lookup(found.ids)).detach() / latents.numel())


def test_the_entropy_loss_is_of_training_and_falls_as_usage_becomes_uniform() -> None:
    codes = torch.eye(4)
    quantizer = with_codes(codes, entropy_weight=1.0, commitment_cost=0)
    even, one = (quantizer(latents[None]).loss for latents in (codes, codes[:1].expand(4, 4)))
    assert even < one
    assert_close(even, torch.tensor(-math.log(4)), atol=1e-4, rtol=0)
    assert quantizer.eval()(codes[None]).loss < 1e-6


def test_straight_through_reaches_the_latents_unscaled_if_asked() -> None:
    latents, weight = draw(2, 3, 4).requires_grad_(), draw(2, 3, 4, seed=1)
    out = with_codes(draw(7, 4, seed=2), straight_through="latents")(latents)
    (gradient,) = torch.autograd.grad((out.quantized * weight).sum(), latents)
    assert torch.equal(gradient, weight)


@pytest.mark.parametrize(("kind", "length"), [("uniform", None), ("unit", 1.0), ("normal", 16**0.5)])
def test_initial_codes(kind: str, length: float | None) -> None:
    codes = VQConfig(codebook_size=64, initial_codes=kind).build(16, seeded(3)).embedding
    if length is None:
        assert codes.abs().max() <= 1 / 64
    else:
        assert_close(codes.norm(dim=1).mean().item(), length, atol=0.2 if kind == "normal" else 1e-5, rtol=0)
