"""DiffAugment against a pixel by pixel reference; it is differentiable and a function of its generator."""

from __future__ import annotations

import math

import torch
from small_models import seeded

from sftok.losses.diff_augment import diff_augment


def reference(image: torch.Tensor, draws: list[float]) -> torch.Tensor:
    """One image `[3, H, W]`, as the paper's three operations say."""
    _, height, width = image.shape
    most_y, most_x = round(height / 8), round(width / 8)
    dy, dx = (math.floor(draw * (2 * m + 1)) - m for draw, m in zip(draws, (most_y, most_x), strict=False))
    moved = torch.zeros_like(image)
    for y in range(height):
        for x in range(width):
            if 0 <= y + dy < height and 0 <= x + dx < width:
                moved[:, y, x] = image[:, y + dy, x + dx]
    bright = moved + draws[2] - 0.5
    gray = bright.mean(0)
    saturated = gray + (bright - gray) * 2 * draws[3]
    contrasted = saturated.mean() + (saturated - saturated.mean()) * (0.5 + draws[4])
    box_y, box_x = round(height / 5), round(width / 5)
    top = math.floor(draws[5] * (height + 1 - box_y % 2)) - box_y // 2
    left = math.floor(draws[6] * (width + 1 - box_x % 2)) - box_x // 2
    contrasted[:, max(0, top) : max(0, top + box_y), max(0, left) : max(0, left + box_x)] = 0
    return contrasted


def test_against_the_reference() -> None:
    images = torch.rand(6, 3, 13, 16, generator=seeded(1))
    draws = torch.rand(7, 6, generator=seeded())
    expected = torch.stack([reference(image, draws[:, place].tolist()) for place, image in enumerate(images)])
    torch.testing.assert_close(diff_augment(images, seeded()), expected, rtol=0, atol=1e-6)


def test_only_the_generator_decides_and_each_image_is_changed_independently() -> None:
    images = torch.rand(1, 3, 8, 8, generator=seeded(1)).expand(4, -1, -1, -1)
    first = diff_augment(images, seeded(5))
    torch.rand(3)  # the global state does not matter
    assert torch.equal(first, diff_augment(images, seeded(5)))
    assert not torch.equal(first, diff_augment(images, seeded(6)))
    assert not torch.equal(first[0], first[1])


def test_the_gradient_is_the_true_one() -> None:
    images = torch.rand(2, 3, 6, 6, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda each: diff_augment(each, seeded()), (images,))
