"""Batches to measure, and a reference in the same feature space."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from sftok.metrics.base import Features, Measured, Reference
from sftok.metrics.inception_score import inception_score

SPACE, COUNT, VOCABULARY = "tiny", 24, 9


def draw(seed: int, scale: float = 1.0, count: int = COUNT) -> Features:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(6, 6, generator=torch.Generator().manual_seed(9))
    features = scale * torch.randn(count, 6, generator=generator) @ mixing
    return Features(features, 3 * torch.randn(count, 4, generator=generator))


def reference(found: Features) -> Reference:
    doubles = found.features.double()
    score = None if found.logits is None else inception_score(found.logits)
    return Reference(SPACE, found.features, doubles.mean(0), doubles.T.cov(), score)


def whole() -> Measured:
    """A batch that has everything."""
    generator = torch.Generator().manual_seed(0)
    originals = torch.rand(COUNT, 3, 32, 34, generator=generator)
    noise = 0.2 * torch.randn(originals.shape, generator=generator)
    ids, codes, teacher_codes = torch.randint(VOCABULARY, (3, COUNT, 6), generator=generator)
    return Measured(
        images=(originals + noise).clamp(0, 1),
        originals=originals,
        ids=ids,
        codes=codes,
        teacher_codes=teacher_codes,
        features={SPACE: draw(1, 1.3)},
    )


def part(batch: Measured, places: Sequence[int]) -> Measured:
    """The images of `batch` at `places`."""
    tensors = {
        field.name: value[places]
        for field in dataclasses.fields(batch)
        if isinstance(value := getattr(batch, field.name), torch.Tensor)
    }
    features = {
        label: Features(found.features[places], None if found.logits is None else found.logits[places])
        for label, found in batch.features.items()
    }
    return Measured(**tensors, features=features)
