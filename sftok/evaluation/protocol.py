"""The result of an evaluation: rows of numbers, what their names mean, and the protocol behind them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sftok.config import Config
from sftok.evaluation.extractors.base import Extractor
from sftok.metrics.base import Metric, MetricConfig

OnProgress = Callable[[float], None]
"""Called with the fraction done, from 0 to 1."""

Row = dict[str, Any]
"""One number: `subject`, `metric`, `extractor` ("" without a feature space), `value`, `n_images`, and a key
for each coordinate at which it was measured, such as `steps` and `temperature`; all are JSON values."""


class Fingerprinted(Config):
    """Everything that numbers depend on besides their rows' coordinates and the model itself.

    Numbers measured under different protocols are not comparable.
    """

    data: str
    """Fingerprint of the images, their order and their transform."""
    n_images: int

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all fields."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def record(self) -> dict[str, Any]:
        """Return all fields and the fingerprint, for a result file."""
        return {"fingerprint": self.fingerprint, **self.model_dump(mode="json")}


class Protocol(Fingerprinted):
    """The protocol of reconstructions."""

    extractors: dict[str, str]
    """SHA-256 of the weights by label; the label names the resize if the network has a choice.

    The networks of metrics, such as LPIPS, are included if they are measured.
    """
    reference: str = "the same images"
    rounding: str = "truncated to uint8"
    inception_score: str = "one split"
    pixel_metrics: str = "luma, mean over images"
    metrics: dict[str, Any] = {}
    """Settings of metrics that differ from their defaults, by name."""
    precision: str
    """Precision of the passes that predict codes or tokens; decoders that return pixels use fp32.

    Whether a GPU rounds fp32 products to TF32 is in the provenance.
    """


class GenerationProtocol(Protocol):
    """The protocol of generated images; `n_images` counts the samples, `data` is the reference set's."""

    reference: str = "another set of images"
    n_reference: int
    """Number of images in the reference set."""
    labels: str = "every class in turn"
    sampling: str
    """Steps and mask schedule, and how guidance and temperature were chosen, but not their values."""
    pixel_metrics: str = "none"


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        rows: the numbers.
        metrics: the meaning of their names: the fields of a `Quantity` by metric name.
        protocol: everything that the numbers depend on.
        images: values of each image, arrays `[images]` or `[images, ...]` by name, in the set's order:
            `name`, `label`, `ids`, and `DECODING.VALUE`.
        extremes: uint8 `[n, 3, H, W]`, the best and the worst reconstructions and their originals, as
            `DECODING.best`, `DECODING.best.original`, ..., and their places as `DECODING.best.places`.
        examples: arrays to be saved unchanged: `labels` `[n]`, `class_names`, and uint8 images `[n, 3, H, W]`
            by name: `original` with `T1`, `T2`, ... or the subject's name; `S1`, `S2`, ... for a generator.
    """

    rows: list[Row]
    metrics: dict[str, dict[str, Any]]
    protocol: Fingerprinted
    examples: dict[str, np.ndarray]
    images: dict[str, np.ndarray] = field(default_factory=dict)
    extremes: dict[str, np.ndarray] = field(default_factory=dict)

    def result(self) -> dict[str, Any]:
        """Return rows, metrics and protocol as JSON values, for a result file."""
        return {"rows": self.rows, "metrics": self.metrics, "protocol": self.protocol.record()}


def rows_of(metrics: Iterable[Metric], subject: str, n_images: int, **coordinates: object) -> list[Row]:
    """The numbers of `metrics`, all at the same coordinates; some cover fewer than the `n_images` seen."""
    return [
        row(subject, name, metric.extractor, value, metric.n_images(n_images), **coordinates)
        for metric in metrics
        for name, value in metric.compute().items()
    ]


def row(subject: str, metric: str, extractor: str, value: float, n_images: int, **coordinates: object) -> Row:
    """Make the row of one number."""
    return {
        "subject": subject,
        "metric": metric,
        "extractor": extractor,
        "value": value,
        "n_images": n_images,
        **coordinates,
    }


def networks(extractors: Sequence[Extractor], metrics: Iterable[Metric]) -> dict[str, str]:
    """SHA-256 of the weights of feature spaces and metrics, by name."""
    found = {extractor.label: extractor.weights for extractor in extractors}
    for metric in metrics:
        found |= metric.weights
    return found


def own_settings(metrics: Iterable[MetricConfig]) -> dict[str, Any]:
    """The settings of `metrics` that differ from their defaults, by the metric's name."""
    dumped = {metric.reference: metric.model_dump(mode="json", exclude_defaults=True) for metric in metrics}
    settings = {
        name: {key: value for key, value in values.items() if key != "name"}
        for name, values in dumped.items()
    }
    return {name: values for name, values in settings.items() if values}


class Progress:
    """Converts the fraction done of one phase into the fraction done of all phases.

    Args:
        on_progress: called with the overall fraction done.
        costs: costs of the phases, in any unit.
    """

    def __init__(self, on_progress: OnProgress, costs: Sequence[float]) -> None:
        self._on_progress = on_progress
        self._costs = costs
        self._phase = 0

    def __call__(self, fraction: float) -> None:
        """Report that `fraction` of the current phase is done."""
        done = sum(self._costs[: self._phase]) + fraction * self._costs[self._phase]
        self._on_progress(done / sum(self._costs))

    def next_phase(self) -> None:
        """Report that the current phase is done."""
        self(1.0)
        self._phase = min(self._phase + 1, len(self._costs) - 1)
