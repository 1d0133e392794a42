"""The frozen, projected codebook against VQGAN-LC's numbers."""

from __future__ import annotations

import pytest
import torch
from authors import TOLERANCE, numbers, sequence
from small_models import draw
from torch.testing import assert_close

from sftok.quantizers.projected import Projected, ProjectedConfig


def built(codes: torch.Tensor, token_dim: int) -> Projected:
    config = ProjectedConfig(codebook_size=len(codes), source_dim=codes.shape[1])
    quantizer = config.build(token_dim)
    quantizer.load_codebook(codes)
    return quantizer


def test_ids_loss_and_gradients_are_those_of_the_authors() -> None:
    reference = numbers("vqgan_lc")
    quantizer = built(reference["weights.tok_embeddings.weight"], 8)
    names = "weights.codebook_projection."
    quantizer.projection.load_state_dict(
        {k.removeprefix(names): v for k, v in reference.items() if k.startswith(names)}
    )
    latents = sequence(reference["out.latent"]).requires_grad_()
    found = quantizer(latents)
    assert_close(quantizer.codebook(), reference["out.projected_codebook"], **TOLERANCE)
    assert torch.equal(found.ids, reference["out.ids"].flatten(1))
    assert_close(found.quantized, sequence(reference["out.quantized"]), **TOLERANCE)
    assert_close(found.loss, reference["out.quantizer_loss"], **TOLERANCE)
    (found.loss + (found.quantized * sequence(reference["in.cotangent"])).sum()).backward()
    assert_close(latents.grad, sequence(reference["out.grad_latent"]), **TOLERANCE)
    projection = quantizer.projection
    assert_close(projection.weight.grad, reference["out.grad_projection_weight"], **TOLERANCE)
    assert_close(projection.bias.grad, reference["out.grad_projection_bias"], **TOLERANCE)


def test_only_the_projection_is_trained_and_the_codes_are_saved() -> None:
    codes = draw(7, 5)
    quantizer = built(codes, 3)
    assert {name for name, _ in quantizer.named_parameters()} == {"projection.weight", "projection.bias"}
    loaded = quantizer.config.build(3)
    loaded.load_state_dict(quantizer.state_dict())
    assert torch.equal(loaded.source, codes)


def test_codes_are_needed_and_must_fit() -> None:
    quantizer = ProjectedConfig(codebook_size=7, source_dim=5).build(3)
    with pytest.raises(RuntimeError, match="no codes yet: call load_codebook"):
        quantizer(draw(1, 2, 3))
    with pytest.raises(ValueError, match=r"shape \[7, 4\]: the quantizer has \[7, 5\]"):
        quantizer.load_codebook(draw(7, 4))
    with pytest.raises(ValueError, match="not finite"):
        quantizer.load_codebook(draw(7, 5) / 0)
