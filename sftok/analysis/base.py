"""What an analysis is: a configuration that describes it, and a statistic that is shown batches of images.

A new analysis is one file in this package with both. Its numbers are rows with coordinates of their own, such
as the decoding step or the visible share.
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
"""What several analyses measure."""


class Statistic(Protocol):
    """Numbers that are means over images."""

    def update(self, tokenizer: SFTok, ids: Tensor, codes: Tensor, generator: torch.Generator) -> None:
        """Add a batch: token ids `[B, K]` and the teacher's codes `[B, N]`."""

    def merge(self, other: Self) -> None:
        """Add what `other`, of the same configuration, has seen."""

    def compute(self) -> list[Number]:
        """The means of all that was seen."""


class AnalysisProtocol(Fingerprinted):
    """What the numbers of an analysis depend on."""

    analysis: dict[str, Any]
    """Its name and settings."""


class AnalysisConfig(Component, family="analysis", package="sftok.analysis"):
    """The settings of an analysis, and what a reader needs to know of its numbers."""

    quantities: ClassVar[tuple[Quantity, ...]]

    images: int = Field(default=2000, ge=1)
    """At most this many of the image set, balanced over classes; the same for every tokenizer."""
    batch_size: int = Field(default=250, ge=1)
    """Images looked at together; random draws depend on it."""
    seed: int = Field(default=0, ge=0)
    """Of every random draw."""

    def build(self) -> Statistic:
        """The statistic, before any batch."""
        raise NotImplementedError

    def fitted(self, evaluation: EvaluationConfig, *, single_step: bool) -> Self:
        """These settings for a tokenizer that is evaluated as `evaluation` says.

        Args:
            evaluation: how the tokenizer is decoded elsewhere.
            single_step: whether it never saw a visible code in training.
        """
        return self

    @property
    def described(self) -> dict[str, dict[str, Any]]:
        """Its quantities by name, as JSON values, for a result or a stored request."""
        return {quantity.name: quantity.model_dump(mode="json") for quantity in self.quantities}

    def measure(
        self,
        tokenizer: SFTok,
        teacher: MaskGITVQGAN,
        image_set: ImageSet,
        on_progress: OnProgress = lambda fraction: None,
    ) -> Evaluation:
        """Show the first images of every class to a new statistic.

        A seed fixes every number bit for bit on one machine, whatever torch's number of threads. Everything
        is in float32: the differences of interest are small.

        Args:
            tokenizer: put into evaluation mode.
            teacher: the one it was trained with, put into evaluation mode.
            image_set: `images` of it are shown, or all.
            on_progress: called with the fraction done.

        Returns:
            Rows of subject `tokenizer`, with no examples.
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
        """A new statistic that was shown the images at `places`."""
        device = next(tokenizer.parameters()).device

        def batches() -> Iterator[tuple[int, Tensor]]:
            for number, chosen in enumerate(places.split(self.batch_size)):
                yield number, to_unit_range(image_set.images(chosen).to(device))

        def look(batch: tuple[int, Tensor]) -> Statistic:
            number, images = batch
            part = self.build()
            # A generator for each batch: no draw depends on the thread it is made in.
            draws = generator(self.seed, "analysis", number, device=device)
            part.update(tokenizer, tokenizer.encode(images), teacher.encode(images), draws)
            return part

        total = self.build()
        for done, part in enumerate(in_order(look, batches(), device), 1):
            total.merge(part)
            on_progress(min(1.0, done * self.batch_size / len(places)))
        return total
