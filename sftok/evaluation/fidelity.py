"""FID, IS, KID, precision and recall: torch-fidelity's functions on features of reconstructions or samples.

Images are truncated to uint8 before extraction, as in the release; IS is over all images at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Self

import torch
from torch import Tensor
from torch_fidelity.metric_fid import (
    KEY_METRIC_FID,
    fid_statistics_to_metric,
)
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from sftok.evaluation.config import ExtraMetric
from sftok.evaluation.extractors import Features
from sftok.evaluation.linear_algebra import moments, reproducible
from sftok.evaluation.metrics import Featured, Metric
from sftok.evaluation.reference import Reference, inception_score

_KID_SUBSET = 1000
_PAIRS_AT_ONCE = 2000


def to_uint8(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8: truncated, not rounded, as the release does. Exact on multiples of 1/255."""
    return (images.clamp(0, 1) * 255).to(torch.uint8)


class Fidelity(Metric[Featured]):
    """The metrics that compare images with a reference set in one feature space.

    Keeps all features. KID draws subsets, so its value depends on the order of the images.

    Args:
        reference: what they are compared with.
        extra_metrics: metrics beside FID and IS; those not of features are ignored.
        fid: what FID is called, `rfid` of reconstructions or `gfid` of generated images.
    """

    def __init__(
        self,
        reference: Reference,
        extra_metrics: Iterable[ExtraMetric] = (),
        fid: Literal["rfid", "gfid"] = "rfid",
    ) -> None:
        self.fid = fid
        self.extractor = reference.extractor
        self.reference = reference
        self.extra_metrics = tuple(extra_metrics)
        self.seen: list[Features] = []

    def update(self, batch: Featured) -> None:
        """Keep the features of a batch."""
        self.seen.append(batch.features[self.extractor])

    def merge(self, other: Self) -> None:
        """Keep the features of `other`."""
        self.seen += other.seen

    @reproducible
    def compute(self) -> dict[str, float]:
        """FID and `is`, and what else was asked for."""
        if sum(len(part.features) for part in self.seen) < 2:
            raise ValueError(f"{self.fid} ({self.extractor}): fewer than two images were seen")
        features = torch.cat([part.features for part in self.seen])
        logits = torch.cat([part.logits for part in self.seen])
        values: dict[str, float] = {
            self.fid: frechet_distance(features, self.reference),
            "is": inception_score(logits),
        }
        if "kid" in self.extra_metrics:
            size = min(_KID_SUBSET, len(features), len(self.reference.features))
            distances = kid_features_to_metric(
                features, self.reference.features, kid_subset_size=size, verbose=False
            )
            values["kid"] = distances[KEY_METRIC_KID_MEAN]
        if "precision_recall" in self.extra_metrics:
            shares = prc_features_to_metric(
                features,
                self.reference.features,
                prc_batch_size=_PAIRS_AT_ONCE,
                save_cpu_ram=True,
                verbose=False,
            )
            values |= {name: shares[name] for name in ("precision", "recall")}
        return values


@reproducible
def frechet_distance(features: Tensor, reference: Reference) -> float:
    """FID of features `[N, F]` against the reference."""
    mean, covariance = moments(features)
    statistics = {"mu": mean.numpy(), "sigma": covariance.numpy()}
    return fid_statistics_to_metric(statistics, reference.statistics, verbose=False)[KEY_METRIC_FID]
