"""What evaluation keeps on disk: features of the reference images, and the teacher's codes of the originals.

Files are named by the hash of all that their content depends on (network, weights, images and their order).
torch-fidelity's cache names its files by the data set and the network alone. A damaged file is logged and
computed again.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sftok.data.base import ImageSet
from sftok.data.batches import ordered_batches
from sftok.evaluation.extractors.base import Extractor
from sftok.evaluation.workers import in_order
from sftok.io.weights import DamagedFileError, content_hash, load_tensors, save_tensors
from sftok.metrics.base import Features, Reference
from sftok.metrics.inception_score import inception_score
from sftok.metrics.linear_algebra import moments, reproducible
from sftok.models.maskgit_vqgan import MaskGITVQGAN

_VERSION = 1
"""Of the files' content; another version computes every file again."""

log = logging.getLogger(__name__)


def reference_features(extractor: Extractor, image_set: ImageSet, cache: Path, batch_size: int) -> Reference:
    """The images of `image_set` in the space of `extractor`, read from `cache` or computed into it."""

    @reproducible
    def compute() -> dict[str, Tensor]:
        places = torch.arange(len(image_set)).split(batch_size)
        parts = in_order(extractor, map(image_set.images, places), extractor.device)
        whole = _in_one_piece(parts, len(image_set))
        mean, covariance = moments(whole.features)
        found = {"features": whole.features, "mean": mean, "covariance": covariance}
        if whole.logits is not None:
            score = inception_score(whole.logits)
            found["inception_score"] = torch.tensor(score, dtype=torch.float64)
        return found

    content = {
        "extractor": extractor.label,
        "weights": extractor.weights,
        "data": image_set.fingerprint,
        "images": len(image_set),
    }
    tensors = _cached(cache, f"features-{extractor.label}", content, compute)
    score = tensors.get("inception_score")
    return Reference(
        extractor=extractor.label,
        features=tensors["features"],
        mean=tensors["mean"],
        covariance=tensors["covariance"],
        inception_score=None if score is None else score.item(),
    )


def _in_one_piece(parts: Iterator[Features], images: int) -> Features:
    """All parts in their order, with no second copy: of a million images there would be no room for one."""
    first = next(parts)
    features = first.features.new_empty(images, first.features.shape[1])
    logits = None if first.logits is None else first.logits.new_empty(images, first.logits.shape[1])
    end = 0
    for part in itertools.chain([first], parts):
        start, end = end, end + len(part.features)
        features[start:end] = part.features
        if logits is not None and part.logits is not None:
            logits[start:end] = part.logits
    return Features(features, logits)


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
