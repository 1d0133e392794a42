"""CMMD against its definition, and in spaces without logits."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sftok.metrics.base import Features, Measured, Reference
from sftok.metrics.cmmd import CMMD


def reference(features: Tensor) -> Reference:
    return Reference("a space without logits", features, features.double().mean(0), torch.eye(2), None)


def distance(images: Tensor, real: Tensor, bandwidth: float = 10.0, batch: int = 3) -> float:
    metric = CMMD(reference(real), bandwidth)
    for part in images.split(batch):
        metric.update(Measured(features={metric.extractor: Features(part)}))
    return metric.compute()["cmmd"]


def test_two_points_by_hand() -> None:
    images, real = torch.tensor([[1.0, 0.0]] * 2), torch.tensor([[0.0, 3.0]] * 2)
    # All pairs of one side are equal; those of both sides are a right angle of unit vectors apart.
    assert distance(images, real) == pytest.approx(1000 * (2 - 2 * math.exp(-2 / 200)))


def test_the_definition_in_any_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    images, real = (torch.randn(n, 5, generator=generator) for n in (11, 7))
    unit = [each.double() / each.double().norm(dim=1, keepdim=True) for each in (images, real)]

    def kernel(left: Tensor, right: Tensor) -> float:
        squared = (left.unsqueeze(1) - right).square().sum(-1)
        return (-squared / (2 * 0.5**2)).exp().mean().item()

    expected = 1000 * (kernel(unit[0], unit[0]) + kernel(unit[1], unit[1]) - 2 * kernel(*unit))
    assert distance(images, real, 0.5) == pytest.approx(expected)
    assert distance(images, real, 0.5, batch=2) == distance(images, real, 0.5, batch=11)
