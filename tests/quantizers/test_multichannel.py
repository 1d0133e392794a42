"""Multichannel quantization against reference numbers."""

from __future__ import annotations

import pytest
import torch
from authors import TOLERANCE, numbers, sequence
from small_models import draw
from torch.testing import assert_close

from sftok.quantizers.multichannel import MultichannelConfig


def test_ids_codes_and_loss_are_those_of_the_reference() -> None:
    reference = {name.removeprefix("multichannel."): value for name, value in numbers("movq").items()}
    quantizer = MultichannelConfig(codebook_size=64, chunks=4).build(16)
    quantizer.embedding.data = reference["codebook"]
    found = quantizer(sequence(reference["in.latent"]))
    # There, ids are [B, chunk, h, w].
    assert torch.equal(found.ids.unflatten(1, (16, 4)), sequence(reference["out.ids"]))
    assert_close(found.quantized, sequence(reference["out.quantized"]), **TOLERANCE)
    assert_close(found.loss, 1.25 * reference["out.mean_squared_error"], **TOLERANCE)
    assert_close(found.commitment_loss, reference["out.mean_squared_error"], **TOLERANCE)


def test_a_chunk_changes_its_own_id_and_channels_alone() -> None:
    quantizer, latents = MultichannelConfig(codebook_size=32, chunks=3).build(6), draw(1, 2, 6)
    quantizer.embedding.data = draw(32, 2, seed=1)
    before = quantizer(latents)
    changed = latents.clone()
    changed[0, 1, 2:4] += 5
    after = quantizer(changed)
    assert (before.ids != after.ids).nonzero().tolist() == [[0, 4]]
    assert (before.quantized != after.quantized)[0, 1, 2:4].any()
    assert torch.equal(before.quantized[0, 1, [0, 1, 4, 5]], after.quantized[0, 1, [0, 1, 4, 5]])


def test_chunks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="3 chunks do not divide latents of 16 channels"):
        MultichannelConfig(chunks=3).check(16, 4)
