from __future__ import annotations

from functools import partial

import torch
from torch.testing import assert_close

assert_parity = partial(assert_close, atol=1e-4, rtol=1e-4)


def test_encoder(released_vqgan, vqgan_numbers):
    assert_parity(released_vqgan.encoder(vqgan_numbers["in.images"]), vqgan_numbers["out.hidden"])


def test_codes(released_vqgan, vqgan_numbers):
    assert torch.equal(released_vqgan.encode(vqgan_numbers["in.images"]), vqgan_numbers["out.ids"])


def test_pixels(released_vqgan, vqgan_numbers):
    assert_parity(
        released_vqgan.pixel_decoder.decode_codes(vqgan_numbers["out.ids"]), vqgan_numbers["out.image"]
    )


def test_forward_in_evaluation_is_encode_then_decode(released_vqgan, vqgan_numbers):
    reconstruction, quantized = released_vqgan(vqgan_numbers["in.images"])
    assert torch.equal(quantized.ids, vqgan_numbers["out.ids"])
    assert_parity(reconstruction, vqgan_numbers["out.image"])
