"""Semantic supervision: a known value, where gradients go, and that processes do not matter."""

from __future__ import annotations

import math

import pytest
import torch
from small_models import draw, seeded
from torch import Tensor, nn

from sftok.distributed import World
from sftok.features.base import Features
from sftok.frozen import Frozen
from sftok.training.semantic import SemanticConfig, SemanticLoss


class MeanColor(Features):
    """Three numbers of an image, and no weights."""

    dim = 3

    def __init__(self) -> None:
        self.network = Frozen(nn.Identity())

    def pooled(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))

    def patches(self, images: Tensor) -> Tensor:
        return images.flatten(2).transpose(1, 2)


class Part(World):
    """One of several processes, which knows what the others hold."""

    def __init__(self, rank: int, size: int, whole: list[Tensor]) -> None:
        object.__setattr__(self, "rank", rank)
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "whole", iter(whole))

    def gather(self, part: Tensor) -> Tensor:
        return next(self.whole)  # type: ignore[attr-defined]


def loss(left_out: float = 0.0, latent_dim: int = 4, **config: float) -> SemanticLoss:
    settings = SemanticConfig(features={"name": "classifier"}, left_out=left_out, **config)
    return SemanticLoss(settings, MeanColor(), latent_dim, seeded())


def test_latents_that_tell_nothing_cost_the_logarithm_of_the_batch() -> None:
    measured = loss()(torch.zeros(5, 2, 4), draw(5, 3, 4, 4))
    assert measured.item() == pytest.approx(0.1 * math.log(5))


def test_images_that_may_be_cut_are_left_out() -> None:
    measured = loss(left_out=0.5)(torch.zeros(6, 2, 4), draw(6, 3, 4, 4))
    assert measured.item() == pytest.approx(0.1 * math.log(3))


def test_only_the_last_branch_and_the_map_are_trained() -> None:
    made, quantized = loss(), draw(4, 2, 4).requires_grad_()
    made(quantized, draw(4, 3, 4, 4)).backward()
    assert quantized.grad is not None
    assert not quantized.grad[..., :2].any()
    assert quantized.grad[..., 2:].any()
    assert all(weight.grad is not None and weight.grad.any() for weight in made.parameters())


def test_two_processes_have_the_loss_and_the_gradient_of_one() -> None:
    quantized, images = draw(4, 2, 4), draw(4, 3, 4, 4, seed=1)
    alone = loss()
    whole = alone(quantized, images)
    whole.backward()
    latents = quantized[..., 2:].mean(1)
    targets = alone.projection(images.mean((2, 3))).detach()
    gradients = []
    for rank in (0, 1):
        made, own = loss(), slice(2 * rank, 2 * rank + 2)
        part = made(quantized[own], images[own], Part(rank, 2, [latents, targets]))
        part.backward()
        assert part.item() == pytest.approx(whole.item())
        gradients.append(made.projection.weight.grad)
    torch.testing.assert_close(sum(gradients) / 2, alone.projection.weight.grad)


def test_branches_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match="2 branches do not divide 5 channels"):
        loss(latent_dim=5)
