from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from small_models import draw
from torch.testing import assert_close

from sftok.models.resizing import resize, resize_by_products


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("area", {}),
        ("bilinear", {"align_corners": True}),
        ("bicubic", {"align_corners": False}),
        ("bicubic", {"align_corners": False, "antialias": True}),
    ],
)
@pytest.mark.parametrize("side", [(7, 9), (24, 20), (12, 10)])
def test_products_resize_as_torch_does_with_the_same_gradient(mode, options, side):
    images = draw(2, 3, 12, 10).requires_grad_()
    expected = F.interpolate(images, side, mode=mode, **options)
    found = resize_by_products(images, side, mode, **options)
    assert_close(found, expected, rtol=1e-5, atol=1e-5)
    weights = draw(*expected.shape, seed=1)
    slopes = [torch.autograd.grad((each * weights).sum(), images)[0] for each in (expected, found)]
    assert_close(slopes[1], slopes[0], rtol=1e-5, atol=1e-5)
    assert torch.equal(resize(images, side, mode, **options), expected), "the CPU's numbers stay"
