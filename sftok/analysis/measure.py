"""Showing the images of a set to a statistic, batch by batch: the part that all analyses share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

from sftok.analysis.config import AnalysisConfig
from sftok.data.base import ImageSet
from sftok.data.batches import to_unit_range
from sftok.evaluation.bench import balanced
from sftok.evaluation.workers import in_order
from sftok.models.tokenizer import SFTok
from sftok.randomness import generator
from sftok.teacher.vqgan import MaskGITVQGAN


class Statistic(Protocol):
    """A quantity that is a mean over images."""

    def update(self, tokenizer: SFTok, ids: Tensor, codes: Tensor, generator: torch.Generator) -> None:
        """Look at token ids `[B, K]` and the teacher's codes `[B, N]`."""

    def merge(self, other: Self) -> None:
        """Add what `other` has seen."""


S = TypeVar("S", bound=Statistic)


def measure(
    new: Callable[[], S],
    tokenizer: SFTok,
    teacher: MaskGITVQGAN,
    image_set: ImageSet,
    config: AnalysisConfig,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> tuple[S, int]:
    """A new statistic that has seen the first images of every class, and their number.

    A seed fixes it bit for bit on one machine, whatever torch's number of threads. Everything is float32:
    what is asked for are small differences.

    Args:
        new: makes an empty statistic; it is called once a batch.
        tokenizer: put into evaluation mode.
        teacher: the one it was trained with, put into evaluation mode.
        image_set: `config.images` of it are shown, or all.
        config: how many images, in which batches, and the seed.
        on_progress: told the fraction done.
    """
    tokenizer.eval()
    teacher.eval()
    device = next(tokenizer.parameters()).device
    places = balanced(image_set, config.images)

    def batches() -> Iterator[tuple[int, Tensor]]:
        for number, chosen in enumerate(places.split(config.batch_size)):
            yield number, to_unit_range(image_set.images(chosen).to(device))

    def look(batch: tuple[int, Tensor]) -> S:
        number, images = batch
        statistic = new()
        # A generator for each batch: no draw depends on the thread it is made in.
        draws = generator(config.seed, "analysis", number, device=device)
        statistic.update(tokenizer, tokenizer.encode(images), teacher.encode(images), draws)
        return statistic

    total = new()
    for done, part in enumerate(in_order(look, batches(), device), 1):
        total.merge(part)
        on_progress(min(1.0, done * config.batch_size / len(places)))
    return total, len(places)
