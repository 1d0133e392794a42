"""Reconstructing a whole image set and measuring the result: the part that all evaluations share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from sftok.data.base import ImageSet
from sftok.data.batches import Batch, ordered_batches
from sftok.evaluation.config import EvaluationConfig, EvaluationError
from sftok.evaluation.extractors import Extractor, check_asked
from sftok.evaluation.fidelity import Fidelity, to_uint8
from sftok.evaluation.metrics import PSNR, SSIM, Metric, Reconstructions
from sftok.evaluation.perceptual import LPIPS
from sftok.evaluation.reference import Reference, reference_features
from sftok.evaluation.workers import in_order
from sftok.losses.lpips import lpips_network

NUM_EXAMPLES = 16

Reconstruct = Callable[[Batch], tuple[Tensor, Tensor | None]]
"""Of a batch: images `[B, 3, H, W]` in [0, 1], and the teacher codes `[B, N]` they come from, if they do."""


@dataclass(frozen=True)
class Bench:
    """An image set with all that reconstructions of it are held against.

    Attributes:
        image_set: the originals.
        config: batch size and extra metrics are read.
        extractors: the feature spaces.
        references: the originals in each of them.
        device: where images are reconstructed.
        lpips: its network, if it is asked for.
        shown: int64 `[n]`, the places of the example images.
    """

    image_set: ImageSet
    config: EvaluationConfig
    extractors: Sequence[Extractor]
    references: Sequence[Reference]
    device: torch.device
    lpips: nn.Module | None
    shown: Tensor

    @classmethod
    def prepare(
        cls,
        image_set: ImageSet,
        config: EvaluationConfig,
        extractors: Sequence[Extractor],
        cache_dir: Path,
        device: torch.device,
    ) -> Self:
        """Check that everything fits, and read or compute the originals' features.

        Raises:
            EvaluationError: the extractors are not those of the configuration, or there are too few images.
            PretrainedError: LPIPS is asked for, and its weights are not at hand.
        """
        check_asked(config.extractors, extractors)
        if len(image_set) < 2:
            raise EvaluationError(
                f"{image_set.name}: rfid needs two images at least, it has {len(image_set)}"
            )
        lpips = lpips_network("alex").to(device) if "lpips" in config.extra_metrics else None
        references = [
            reference_features(extractor, image_set, cache_dir, config.batch_size) for extractor in extractors
        ]
        shown = balanced(image_set, NUM_EXAMPLES)
        return cls(image_set, config, extractors, references, device, lpips, shown)

    def batches(self) -> Iterator[Batch]:
        """All images in order, on the device."""
        for batch in ordered_batches(self.image_set, self.config.batch_size):
            yield Batch(batch.images.to(self.device), batch.labels, batch.indices)

    def measure(
        self,
        reconstruct: Reconstruct,
        teacher_codes: Tensor | None,
        metrics: Sequence[Metric[Reconstructions]],
        on_progress: Callable[[float], None],
    ) -> np.ndarray:
        """Reconstruct every image and show all batches, in order, to `metrics`.

        Args:
            reconstruct: the model; called from several threads.
            teacher_codes: int64 `[images, N]`; None if no metric asks for them.
            metrics: updated in place.
            on_progress: told the fraction done.

        Returns:
            The reconstructions of the example images, uint8 `[n, 3, H, W]`.

        Raises:
            EvaluationError: a reconstruction is not finite.
        """

        def run(batch: Batch) -> tuple[Batch, Tensor, Reconstructions]:
            images, codes = reconstruct(batch)
            if not images.isfinite().all():
                raise EvaluationError(
                    f"{self.image_set.name}: reconstructions are not finite: train the model again"
                )
            pixels = to_uint8(images)
            expected = None if teacher_codes is None else teacher_codes[batch.indices].to(self.device)
            features = {extractor.label: extractor(pixels) for extractor in self.extractors}
            return (
                batch,
                pixels,
                Reconstructions(
                    originals=batch.images,
                    images=images,
                    codes=codes,
                    teacher_codes=expected,
                    features=features,
                ),
            )

        strip = self.image_set.images(self.shown)
        for batch, pixels, reconstructions in in_order(run, self.batches(), self.device):
            for metric in metrics:
                metric.update(reconstructions)
            places, rows = (self.shown[:, None] == batch.indices[None]).nonzero(as_tuple=True)
            strip[places] = pixels.cpu()[rows]
            on_progress((int(batch.indices[-1]) + 1) / len(self.image_set))
        return strip.numpy()

    def metrics(self) -> list[Metric[Reconstructions]]:
        """New metrics of images: pixels, features, and LPIPS if it is asked for."""
        found: list[Metric[Reconstructions]] = [PSNR(), SSIM()]
        found += [Fidelity(reference, self.config.extra_metrics) for reference in self.references]
        if self.lpips is not None:
            found.append(LPIPS(self.lpips))
        return found


def balanced(image_set: ImageSet, count: int) -> Tensor:
    """Places, int64 `[min(count, images)]`, of the first image of every class, then the second ones, ..."""
    labels = image_set.labels(torch.arange(len(image_set)))
    # The rank of an image among those of its class, in the set's order.
    order = labels.argsort(stable=True)
    starts = torch.searchsorted(labels[order], labels[order])
    rank = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)) - starts)
    return (rank * image_set.num_classes + labels).argsort(stable=True)[:count]
