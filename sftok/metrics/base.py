"""What a metric is: a configuration that describes and builds it, and an accumulator over batches.

A new metric is one file in this package with both, and its name in a profile:

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
"""What a metric may read.

- `images`: the reconstructed or generated images; `originals`: what the reconstructions are of;
- `ids`: the tokenizer's token ids; `codes`: the teacher codes that were decoded, and the teacher's own;
- `bits`: what each image takes in the form that it was decoded from;
- `features`, `logits`: of the images, in a feature space, with a reference in the same space;
- `reference_features`: of each image of the reference, not only their statistics;
- `labels`: the classes that the feature space sees in the originals of reconstructions;
- `reference_set`: the reference is another set of images than the originals.
"""


class EvaluationError(RuntimeError):
    """An evaluation that cannot be done; the message is one line: what, where, and the remedy."""


@dataclass(frozen=True)
class Features:
    """What a network says of images, float32 on the CPU.

    Attributes:
        features: `[B, F]`.
        logits: `[B, C]`; None if the network does not classify.
    """

    features: Tensor
    logits: Tensor | None = None


@dataclass(frozen=True)
class Reference:
    """The images that others are compared with, in one feature space.

    Attributes:
        extractor: the label of the feature space.
        features: float32 `[N, F]`; N is 0 if there are only statistics.
        mean: float64 `[F]`.
        covariance: float64 `[F, F]`.
        inception_score: of the reference itself; None if the feature space has no logits.
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
        """What a metric in this feature space can read beside the images."""
        found: set[Need] = {"features"}
        if self.inception_score is not None:
            found.add("logits")
        if len(self.features):
            found.add("reference_features")
        return frozenset(found)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A batch to be measured; a field is None where the evaluation does not have it.

    Attributes:
        images: float32 `[B, 3, H, W]` in [0, 1], the reconstructions or samples.
        originals: float32 `[B, 3, H, W]` in [0, 1].
        ids: int64 `[B, K]`, the token ids of the originals.
        codes: int64 `[B, N]`, the teacher codes that the images were decoded from.
        teacher_codes: int64 `[B, N]`, the teacher's own codes of the originals.
        bits: float64 `[B]`, the bits that each image was decoded from.
        values: `[B]` by name, what metrics that are means over images have computed already.
        features: of the images truncated to uint8, by extractor label.
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
    """What a metric may be built from.

    Attributes:
        device: where images are.
        reference: of a metric of features, its feature space and what it compares with.
        codebook_size: of a metric of ids, the number of different ids.
        pixels: of an image.
    """

    device: torch.device
    reference: Reference | None = None
    codebook_size: int | None = None
    pixels: int | None = None

    def require_reference(self) -> Reference:
        """The reference of a metric of features."""
        if self.reference is None:
            raise ValueError("a metric of features needs a reference")
        return self.reference


class Metric(ABC):
    """An accumulator over batches: any split and order of the data give the same value."""

    extractor: str = ""
    """The feature space of its numbers; empty if they have none."""
    reads_pixels: bool = True
    """Whether `update` needs images and originals: an evaluation with such a metric cannot be resumed."""
    most_images: int | None = None
    """Its numbers are of the first so many images; None: of all."""

    def __init__(self) -> None:
        self.reset()

    @abstractmethod
    def reset(self) -> None:
        """Forget everything that was seen."""

    @abstractmethod
    def update(self, batch: Measured) -> None:
        """Add a batch."""

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Add all that `other`, a metric of the same configuration, has seen."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The values of all that was seen, by the names of the quantities.

        Raises:
            ValueError: too little was seen.
        """

    @property
    def weights(self) -> Mapping[str, str]:
        """SHA-256 of the weights of the metric's own networks, by name, for the protocol."""
        return {}


class MetricConfig(Component, family="metric", package="sftok.metrics"):
    """The settings of a metric, and what a reader needs to know of its numbers."""

    quantities: ClassVar[tuple[Quantity, ...]]
    needs: ClassVar[frozenset[Need]]
    """A metric of features is computed in every feature space that has all of them; one that needs nothing
    but `ids` is computed once, before anything is decoded."""

    @abstractmethod
    def build(self, setup: Setup) -> Metric:
        """The metric, before any batch.

        Raises:
            PretrainedError: published weights that it needs are missing or damaged.
        """

    @property
    def of_features(self) -> bool:
        """Whether its numbers depend on a feature space."""
        return bool(self.needs & {"features", "logits", "labels"})


def describe(metrics: Iterable[MetricConfig]) -> dict[str, dict[str, Any]]:
    """The quantities of `metrics` by name, as JSON values, for a result or a stored request."""
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
    """Each metric once per feature space that has what it needs; what lacks something is left out.

    Args:
        metrics: their configurations.
        available: what every batch has.
        references: one per feature space.
        device: where images are.
        codebook_size: number of different ids, for metrics of ids.
        pixels: of an image, for metrics of bits.
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
