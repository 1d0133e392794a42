"""Caches of an evaluation: features of the reference images, and the teacher's codes of the originals.

Files are named by the hash of everything that their content depends on (network, weights, images and their
order), whereas torch-fidelity's cache names its files only by data set and network. A damaged file is logged
and recomputed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from sftok.data.base import DataError, ImageSet
from sftok.data.batches import ordered_batches
from sftok.data.npz import IMAGES, array_names, read_array
from sftok.data.plain_images import read_plain_images
from sftok.evaluation.extractors.base import Extractor
from sftok.evaluation.extractors.inception_v3 import InceptionV3Config
from sftok.evaluation.workers import in_order
from sftok.io.weights import DamagedFileError, content_hash, load_tensors, save_tensors
from sftok.metrics.base import EvaluationError, Features, Reference
from sftok.metrics.inception_score import inception_score
from sftok.metrics.linear_algebra import moments, reproducible
from sftok.models.maskgit_vqgan import MaskGITVQGAN

_VERSION = 2
"""Version of the files' content; changing it recomputes every file."""

INCEPTION = InceptionV3Config().label

log = logging.getLogger(__name__)


def reference_features(extractor: Extractor, image_set: ImageSet, cache: Path, batch_size: int) -> Reference:
    """Return `image_set` in the space of `extractor`, read from `cache` or computed and stored there."""

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
            found["labels"] = whole.logits.argmax(1)
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
        labels=tensors.get("labels"),
    )


class OtherReference(Protocol):
    """A reference for features other than the originals."""

    @property
    def name(self) -> str:
        """Its name in the protocol, with a hash of the content."""

    def features(self, extractor: Extractor, cache: Path, batch_size: int) -> Reference:
        """Return this reference in a feature space."""


@dataclass(frozen=True)
class SetReference:
    """Another set of images."""

    image_set: ImageSet

    @property
    def name(self) -> str:
        """Number and hash of the images."""
        return f"{len(self.image_set)} other images, {self.image_set.fingerprint}"

    def features(self, extractor: Extractor, cache: Path, batch_size: int) -> Reference:
        """Return all images in the space of `extractor`."""
        return reference_features(extractor, self.image_set, cache, batch_size)


@dataclass(frozen=True)
class StatisticsReference:
    """ADM's reference batch: statistics of Inception's features, and images for everything else.

    Attributes:
        path: the path of the `.npz`.
        mean, covariance: `mu` `[2048]` and `sigma` `[2048, 2048]`, in the space of Inception v3.
        images: `arr_0`, if there is one.
    """

    path: Path
    mean: Tensor
    covariance: Tensor
    images: ImageSet | None

    @property
    def name(self) -> str:
        """Hash of the statistics, and of the images."""
        digest = hashlib.sha256(self.mean.numpy().tobytes() + self.covariance.numpy().tobytes()).hexdigest()
        return f"ADM's statistics, {digest}" + (f", {self.images.fingerprint}" if self.images else "")

    def features(self, extractor: Extractor, cache: Path, batch_size: int) -> Reference:
        """Return the statistics in Inception's space; other spaces and single features use the images.

        Raises:
            EvaluationError: the batch has no images.
        """
        is_inception = extractor.label == INCEPTION
        if self.images is not None:
            found = reference_features(extractor, self.images, cache, batch_size)
            return replace(found, mean=self.mean, covariance=self.covariance) if is_inception else found
        if not is_inception:
            raise EvaluationError(
                f"{self.path}: has statistics of {INCEPTION} and no images (arr_0) to compare in "
                f"{extractor.label}; set evaluation.extractors to {INCEPTION} alone"
            )
        nothing = torch.empty(0, len(self.mean))
        return Reference(extractor.label, nothing, self.mean, self.covariance, inception_score=math.nan)


def open_reference(path: Path, image_size: int) -> OtherReference:
    """Open a folder of images, which are resized and cropped to `image_size`, or ADM's `.npz`.

    Raises:
        DataError: the reference cannot be used.
    """
    if path.suffix != ".npz":
        return SetReference(read_plain_images(path, image_size, shuffled=True))
    found = array_names(path)
    if "mu" not in found:
        return SetReference(read_plain_images(path, image_size, shuffled=True))
    mean, covariance = (
        torch.from_numpy(np.array(read_array(path, each), np.float64)) for each in ("mu", "sigma")
    )
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise DataError(
            f"{path}: mu is {list(mean.shape)} and sigma {list(covariance.shape)}, not [F] and [F, F]"
        )
    images = read_plain_images(path, image_size, shuffled=True) if IMAGES in found else None
    return StatisticsReference(path, mean, covariance, images)


def _in_one_piece(parts: Iterator[Features], images: int) -> Features:
    """Concatenate all parts in order without a second copy, as a million images leave no room for one."""
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
    """Return the teacher's codes of `image_set`, int64 `[images, N]`, read from or stored in `cache`."""
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
