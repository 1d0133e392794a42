"""The interface of analyses: a configuration, and a statistic that is updated with batches of images.

A new analysis is one file in this package that defines both. Its numbers are rows with their own coordinates,
such as the decoding step or the visible share.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Protocol, Self

import torch
from pydantic import Field
from torch import Tensor

from sftok.analysis.running import Number
from sftok.components import Component
from sftok.data.base import ImageSet
from sftok.data.batches import to_unit_range
from sftok.evaluation.config import EvaluationConfig
from sftok.evaluation.examples import balanced
from sftok.evaluation.protocol import Evaluation, Fingerprinted, OnProgress, row
from sftok.evaluation.workers import in_order
from sftok.metrics.quantity import Quantity
from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.randomness import generator
from sftok.tokenizers.sftok import SFTok

ACCURACY = Quantity(
    name="accuracy",
    label="Top-1 accuracy",
    direction=1,
    meaning="share of codes whose likeliest prediction is right",
)
"""A quantity that several analyses measure."""


class Statistic(Protocol):
    """Numbers that are means over images."""

    def update(self, tokenizer: SFTok, ids: Tensor, codes: Tensor, generator: torch.Generator) -> None:
        """Add a batch: token ids `[B, K]` and the teacher's codes `[B, N]`."""

    def merge(self, other: Self) -> None:
        """Merge the sums of `other`, a statistic with the same configuration."""

    def compute(self) -> list[Number]:
        """Return the means over everything seen so far."""


class AnalysisProtocol(Fingerprinted):
    """Everything that the numbers of an analysis depend on."""

    analysis: dict[str, Any]
    """Name and settings of the analysis."""


class AnalysisConfig(Component, family="analysis", package="sftok.analysis"):
    """Settings of an analysis, with descriptions of the quantities that it measures."""

    quantities: ClassVar[tuple[Quantity, ...]]

    images: int = Field(default=2000, ge=1)
    """Maximum number of images, balanced over classes; every tokenizer is shown the same ones."""
    batch_size: int = Field(default=250, ge=1)
    """Images processed together; random draws depend on it."""
    seed: int = Field(default=0, ge=0)
    """Seed of every random draw."""

    def build(self) -> Statistic:
        """Build an empty statistic."""
        raise NotImplementedError

    def fitted(self, evaluation: EvaluationConfig, *, single_step: bool) -> Self:
        """Return these settings adapted to a tokenizer that is evaluated with `evaluation`.

        Args:
            evaluation: how the tokenizer is decoded in its evaluation.
            single_step: whether the tokenizer never saw a visible code in training.
        """
        return self

    @property
    def described(self) -> dict[str, dict[str, Any]]:
        """Return the quantities by name, as JSON values, for a result or a stored request."""
        return {quantity.name: quantity.model_dump(mode="json") for quantity in self.quantities}

    def measure(
        self,
        tokenizer: SFTok,
        teacher: MaskGITVQGAN,
        image_set: ImageSet,
        on_progress: OnProgress = lambda fraction: None,
    ) -> Evaluation:
        """Compute a new statistic on the first images of every class.

        On one machine, a seed fixes every number bit for bit, regardless of torch's thread count. Everything
        is computed in float32 because the differences of interest are small.

        Args:
            tokenizer: the tokenizer to analyze; it is put into evaluation mode.
            teacher: the teacher it was trained with; it is put into evaluation mode.
            image_set: the image set; at most `images` of its images are used.
            on_progress: called with the fraction done.

        Returns:
            Rows of subject `tokenizer`, without examples.
        """
        places = balanced(image_set, self.images)
        found = self.statistic(tokenizer.eval(), teacher.eval(), image_set, places, on_progress)
        rows = [
            row("tokenizer", number.metric, "", number.value, len(places), **number.coordinates)
            for number in found.compute()
        ]
        settings = self.model_dump(mode="json")
        protocol = AnalysisProtocol(data=image_set.fingerprint, n_images=len(places), analysis=settings)
        return Evaluation(rows, self.described, protocol, {})

    def statistic(
        self,
        tokenizer: SFTok,
        teacher: MaskGITVQGAN,
        image_set: ImageSet,
        places: Tensor,
        on_progress: OnProgress,
    ) -> Statistic:
        """Compute a new statistic on the images at `places`."""
        device = next(tokenizer.parameters()).device

        def batches() -> Iterator[tuple[int, Tensor]]:
            for number, chosen in enumerate(places.split(self.batch_size)):
                yield number, to_unit_range(image_set.images(chosen).to(device))

        def look(batch: tuple[int, Tensor]) -> Statistic:
            number, images = batch
            part = self.build()
            # Each batch has its own generator, so no draw depends on the thread that makes it.
            draws = generator(self.seed, "analysis", number, device=device)
            part.update(tokenizer, tokenizer.encode(images), teacher.encode(images), draws)
            return part

        total = self.build()
        for done, part in enumerate(in_order(look, batches(), device), 1):
            total.merge(part)
            on_progress(min(1.0, done * self.batch_size / len(places)))
        return total
