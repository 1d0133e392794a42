"""Training a generator on a frozen tokenizer's tokens (Section 3.3, "Image Generation")."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from sftok.data.batches import Batch
from sftok.generators.base import Generator, GeneratorLossConfig
from sftok.training.stages.base import Losses, Stage, Step

Tokens = Callable[[Batch], Tensor]
"""The tokenizer's ids `[B, K]` or latents `[B, N, D]` of a batch: cached (`sftok.data.tokens.TokenCache`), or
computed."""


class GeneratorStage(Stage):
    """The generator learns the tokens of images; it reads labels and indices of a batch, but no pixels."""

    trained: Generator

    def __init__(self, model: Generator, tokens: Tokens, config: GeneratorLossConfig):
        super().__init__()
        self.trained = model
        self.tokens = tokens
        self.config = config

    def losses(self, optimizer: str, step: Step) -> Losses:
        """The generator's own."""
        tokens = self.tokens(step.batch)
        return self.trained.loss(tokens, step.batch.labels.to(tokens.device), self.config, step)
