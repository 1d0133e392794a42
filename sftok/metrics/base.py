"""The interface of metrics: a configuration that describes and builds one, and an accumulator over batches.

A new metric is one file in this package with both, plus its name in a profile:

```python
class SharpnessConfig(MetricConfig, name="sharpness"):
    quantities = (Quantity(name="sharpness", label="Sharpness", meaning="mean gradient of the luma"),)
    needs = frozenset({"images"})

    def build(self, setup: Setup) -> Metric: ...
```
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from sftok.components import Component
from sftok.metrics.quantity import Quantity

Need = Literal[
    "images",
    "originals",
    "ids",
    "codes",
    "bits",
    "features",
    "logits",
    "labels",
    "reference_features",
    "reference_set",
]
"""The inputs of a metric.

- `images`: the reconstructed or generated images; `originals`: the originals of reconstructions;
- `ids`: the tokenizer's token ids; `codes`: the decoded teacher codes, and the teacher's own;
- `bits`: the size of the representation from which each image was decoded;
- `features`, `logits`: of the images, in a feature space, with a reference in the same space;
- `reference_features`: features of each image of the reference, not only their statistics;
- `labels`: the classes predicted in the feature space for the originals of reconstructions;
- `reference_set`: a reference consisting of images other than the originals.
"""


class EvaluationError(RuntimeError):
    """An evaluation cannot be done; the one-line message gives the problem, its location and the remedy."""


@dataclass(frozen=True)
class Features:
    """A network's outputs for images, float32 on the CPU.

    Attributes:
        features: `[B, F]`.
        logits: `[B, C]`; None if the network does not classify.
    """

    features: Tensor
    logits: Tensor | None = None


@dataclass(frozen=True)
class Reference:
    """The reference images in one feature space.

    Attributes:
        extractor: the label of the feature space.
        features: float32 `[N, F]`; N is 0 if there are only statistics.
        mean: float64 `[F]`.
        covariance: float64 `[F, F]`.
        inception_score: inception score of the reference; None if the feature space has no logits.
        labels: int64 `[N]`, the likeliest class of each image; None if the feature space has no logits.
    """

    extractor: str
    features: Tensor
    mean: Tensor
    covariance: Tensor
    inception_score: float | None
    labels: Tensor | None = None

    @property
    def provides(self) -> frozenset[Need]:
        """The inputs that a metric in this feature space has besides the images."""
        found: set[Need] = {"features"}
        if self.inception_score is not None:
            found.add("logits")
        if len(self.features):
            found.add("reference_features")
        return frozenset(found)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A batch to be measured; fields that are not available are None.

    Attributes:
        images: float32 `[B, 3, H, W]` in [0, 1], the reconstructions or samples.
        originals: float32 `[B, 3, H, W]` in [0, 1].
        ids: int64 `[B, K]`, the token ids of the originals.
        codes: int64 `[B, N]`, the teacher codes from which the images were decoded.
        teacher_codes: int64 `[B, N]`, the teacher's own codes of the originals.
        bits: float64 `[B]`, the size of the representation from which each image was decoded.
        values: `[B]` by name, values per image that are already computed.
        features: features of the images truncated to uint8, by extractor label.
        labels: int64 `[B]`, the likeliest class of each original, by extractor label.
    """

    images: Tensor | None = None
    originals: Tensor | None = None
    ids: Tensor | None = None
    codes: Tensor | None = None
    teacher_codes: Tensor | None = None
    bits: Tensor | None = None
    values: Mapping[str, Tensor] = field(default_factory=dict)
    features: Mapping[str, Features] = field(default_factory=dict)
    labels: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The arguments for building a metric.

    Attributes:
        device: the device of the images.
        reference: for a metric of features, its feature space and the reference images.
        codebook_size: for a metric of ids, the number of distinct ids.
        pixels: number of pixels in an image.
    """

    device: torch.device
    reference: Reference | None = None
    codebook_size: int | None = None
    pixels: int | None = None

    def require_reference(self) -> Reference:
        """Return the reference of a metric of features."""
        if self.reference is None:
            raise ValueError("a metric of features needs a reference")
        return self.reference


class Metric(ABC):
    """An accumulator over batches; any split and order of the data give the same value."""

    extractor: str = ""
    """The feature space of its numbers; empty if there is none."""
    reads_pixels: bool = True
    """Whether `update` needs images and originals: an evaluation with such a metric cannot be resumed."""
    most_images: int | None = None
    """Only the first images up to this number are used; None means all."""

    def __init__(self) -> None:
        self.reset()

    @abstractmethod
    def reset(self) -> None:
        """Discard everything seen so far."""

    @abstractmethod
    def update(self, batch: Measured) -> None:
        """Add a batch."""

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Add everything that `other`, a metric with the same configuration, has seen."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Return the values over everything seen so far, by the names of the quantities.

        Raises:
            ValueError: too little was seen.
        """

    def n_images(self, seen: int) -> int:
        """The number of images that its values describe, of the `seen` ones."""
        return seen if self.most_images is None else min(seen, self.most_images)

    @property
    def weights(self) -> Mapping[str, str]:
        """SHA-256 of the weights of the metric's own networks, by name, for the protocol."""
        return {}


class MetricConfig(Component, family="metric", package="sftok.metrics"):
    """The settings of a metric, with descriptions of its quantities."""

    quantities: ClassVar[tuple[Quantity, ...]]
    needs: ClassVar[frozenset[Need]]
    """A metric of features is computed in every feature space that has all of them; one that needs only `ids`
    is computed once, before anything is decoded."""

    @abstractmethod
    def build(self, setup: Setup) -> Metric:
        """Build the metric.

        Raises:
            PretrainedError: published weights that it needs are missing or damaged.
        """

    @property
    def of_features(self) -> bool:
        """Whether its numbers depend on a feature space."""
        return bool(self.needs & {"features", "logits", "labels"})


def describe(metrics: Iterable[MetricConfig]) -> dict[str, dict[str, Any]]:
    """Return the quantities of `metrics` by name, as JSON values, for a result or a stored request."""
    return {
        quantity.name: quantity.model_copy(update={"of_features": metric.of_features}).model_dump(mode="json")
        for metric in metrics
        for quantity in metric.quantities
    }


def build_metrics(
    metrics: Iterable[MetricConfig],
    available: Set[Need],
    references: Iterable[Reference],
    device: torch.device,
    codebook_size: int | None = None,
    pixels: int | None = None,
) -> list[Metric]:
    """Build each metric once per feature space that has its inputs; metrics without their inputs are omitted.

    Args:
        metrics: their configurations.
        available: the inputs that every batch has.
        references: one per feature space.
        device: the device of the images.
        codebook_size: number of distinct ids, for metrics of ids.
        pixels: number of pixels in an image, for metrics of bits.
    """
    built = []
    spaces: list[Reference] = list(references)
    for config in metrics:
        for reference in spaces if config.of_features else [None]:
            here = available | (reference.provides if reference else frozenset())
            if config.needs <= here:
                setup = Setup(device=device, reference=reference, codebook_size=codebook_size, pixels=pixels)
                built.append(config.build(setup))
    return built
