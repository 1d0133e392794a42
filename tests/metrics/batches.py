"""Batches to measure, and a reference in the same feature space."""

from __future__ import annotations

from collections.abc import Sequence

import lpips
import small_models
import torch
from small_models import seeded
from torch import nn

from sftok.metrics.base import Features, Measured, Reference
from sftok.metrics.inception_score import inception_score

SPACE, COUNT, VOCABULARY = "tiny", 24, 9
TENSORS = ("images", "originals", "ids", "codes", "teacher_codes", "bits")


def draw(seed: int, scale: float = 1.0, count: int = COUNT) -> Features:
    generator = seeded(seed)
    features = scale * torch.randn(count, 6, generator=generator) @ small_models.draw(6, 6, seed=9)
    return Features(features, 3 * torch.randn(count, 4, generator=generator))


def reference(found: Features) -> Reference:
    doubles = found.features.double()
    score = None if found.logits is None else inception_score(found.logits)
    labels = None if found.logits is None else found.logits.argmax(1)
    return Reference(SPACE, found.features, doubles.mean(0), doubles.T.cov(), score, labels)


def whole() -> Measured:
    """A batch that has everything."""
    generator = seeded()
    originals = torch.rand(COUNT, 3, 32, 34, generator=generator)
    noise = 0.2 * torch.randn(originals.shape, generator=generator)
    ids, codes, teacher_codes = torch.randint(VOCABULARY, (3, COUNT, 6), generator=generator)
    images, features = (originals + noise).clamp(0, 1), {SPACE: draw(1, 1.3)}
    bits = torch.rand(COUNT, generator=generator, dtype=torch.float64)
    rest = {"ids": ids, "codes": codes, "teacher_codes": teacher_codes, "bits": bits, "features": features}
    rest["labels"] = {SPACE: torch.randint(4, (COUNT,), generator=generator)}
    return Measured(images=images, originals=originals, **rest)


def part(batch: Measured, places: Sequence[int]) -> Measured:
    """The images of `batch` at `places`."""
    tensors = {name: getattr(batch, name)[places] for name in TENSORS}
    features = {
        label: Features(found.features[places], None if found.logits is None else found.logits[places])
        for label, found in batch.features.items()
    }
    labels = {label: found[places] for label, found in batch.labels.items()}
    return Measured(**tensors, features=features, labels=labels)


def alexnet() -> nn.Module:
    """LPIPS's network with weights drawn at random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = lpips.LPIPS(net="alex", pretrained=False, pnet_rand=True, verbose=False)
    return network.eval().requires_grad_(False)
