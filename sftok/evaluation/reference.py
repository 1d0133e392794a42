"""What evaluation keeps on disk: features of the originals, and the teacher's codes of them.

Files are named by the hash of all that their content depends on (network, weights, images and their
order), unlike torch-fidelity's cache, whose files are named by the data set's and the network's names.
A damaged file is computed again, and the log says so.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

from sftok.data.base import ImageSet
from sftok.data.batches import ordered_batches
from sftok.evaluation.extractors import Extractor, Features
from sftok.evaluation.linear_algebra import moments, reproducible
from sftok.evaluation.workers import in_order
from sftok.teacher.vqgan import MaskGITVQGAN
from sftok.weights import DamagedFileError, content_hash, load_tensors, save_tensors

_VERSION = 1
"""Of the files' content; a change of it makes every file anew."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reference:
    """The originals in a feature space.

    Attributes:
        extractor: the feature space's label.
        features: float32 `[N, F]`.
        mean: float64 `[F]`.
        covariance: float64 `[F, F]`.
        inception_score: of the originals.
    """

    extractor: str
    features: Tensor
    mean: Tensor
    covariance: Tensor
    inception_score: float

    @property
    def statistics(self) -> dict[str, np.ndarray]:
        """Mean and covariance as torch-fidelity names them."""
        return {"mu": self.mean.numpy(), "sigma": self.covariance.numpy()}


def reference_features(extractor: Extractor, image_set: ImageSet, cache: Path, batch_size: int) -> Reference:
    """The originals of `image_set` in the space of `extractor`, read from `cache` or computed into it."""

    @reproducible
    def compute() -> dict[str, Tensor]:
        places = torch.arange(len(image_set)).split(batch_size)
        parts = in_order(extractor, map(image_set.images, places), extractor.device)
        whole = _in_one_piece(parts, len(image_set))
        mean, covariance = moments(whole.features)
        return {
            "features": whole.features,
            "mean": mean,
            "covariance": covariance,
            "inception_score": torch.tensor(inception_score(whole.logits), dtype=torch.float64),
        }

    content = {
        "extractor": extractor.label,
        "weights": extractor.weights,
        "data": image_set.fingerprint,
        "images": len(image_set),
    }
    tensors = _cached(cache, f"features-{extractor.label}", content, compute)
    return Reference(
        extractor=extractor.label,
        features=tensors["features"],
        mean=tensors["mean"],
        covariance=tensors["covariance"],
        inception_score=tensors["inception_score"].item(),
    )


def _in_one_piece(parts: Iterator[Features], images: int) -> Features:
    """All parts in their order; of a million images there is no room for a second copy of everything."""
    first = next(parts)
    whole = Features(
        first.features.new_empty(images, first.features.shape[1]),
        first.logits.new_empty(images, first.logits.shape[1]),
    )
    end = 0
    for part in itertools.chain([first], parts):
        start, end = end, end + len(part.features)
        whole.features[start:end], whole.logits[start:end] = part.features, part.logits
    return whole


def teacher_codes(teacher: MaskGITVQGAN, image_set: ImageSet, cache: Path, batch_size: int) -> Tensor:
    """The teacher's codes of `image_set`, int64 `[images, N]`, read from `cache` or computed into it."""
    device = next(teacher.parameters()).device

    def compute() -> dict[str, Tensor]:
        images = (batch.images.to(device) for batch in ordered_batches(image_set, batch_size))
        return {"codes": torch.cat([codes.int().cpu() for codes in in_order(teacher.encode, images, device)])}

    content = {
        "teacher": content_hash(teacher.state_dict()),
        "config": teacher.record.model_dump(mode="json"),
        "data": image_set.fingerprint,
        "images": len(image_set),
    }
    return _cached(cache, "teacher-codes", content, compute)["codes"].long()


def inception_score(logits: Tensor) -> float:
    """exp of the mean divergence of the class predictions from their mean, over all of `logits` `[N, C]`."""
    return isc_features_to_metric(logits, splits=1, shuffle=False)[KEY_METRIC_ISC_MEAN]


def _cached(
    cache: Path, kind: str, content: dict[str, Any], compute: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    key = hashlib.sha256(json.dumps({**content, "version": _VERSION}, sort_keys=True).encode()).hexdigest()
    path = cache / f"{kind}-{key[:24]}.safetensors"
    if path.exists():
        try:
            return load_tensors(path)[0]
        except DamagedFileError as error:
            log.warning("%s; computing it again", error)
    tensors = compute()
    cache.mkdir(parents=True, exist_ok=True)
    save_tensors(path, tensors)
    return tensors
