from __future__ import annotations

from functools import partial

import torch
from torch.testing import assert_close

assert_parity = partial(assert_close, atol=1e-4, rtol=1e-4)


def test_images_to_codes_and_pixels(released_vqgan, vqgan_numbers):
    images, ids = vqgan_numbers["in.images"], vqgan_numbers["out.ids"]
    assert_parity(released_vqgan.encoder(images), vqgan_numbers["out.hidden"])
    assert torch.equal(released_vqgan.encode(images), ids)
    assert_parity(released_vqgan.pixel_decoder.decode_codes(ids), vqgan_numbers["out.image"])


def test_forward_in_evaluation_is_encode_then_decode(released_vqgan, vqgan_numbers):
    reconstruction, quantized = released_vqgan(vqgan_numbers["in.images"])
    assert torch.equal(quantized.ids, vqgan_numbers["out.ids"])
    assert_parity(reconstruction, vqgan_numbers["out.image"])
