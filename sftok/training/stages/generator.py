"""Training a generator on a frozen tokenizer's tokens (Section 3.3, "Image Generation")."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from torch import Tensor, nn

from sftok.data.batches import Batch
from sftok.device import to_device
from sftok.generators.base import Generator, GeneratorLossConfig
from sftok.training.stages.base import Losses, Stage, Step

Tokens = Callable[[Batch], Tensor]
"""Returns the tokenizer's ids `[B, K]` or latents `[B, N, D]` of a batch: cached
(`sftok.data.tokens.TokenCache`) or computed."""


class GeneratorStage(Stage):
    """Trains a generator on the tokens of images; it uses labels and indices of a batch, but no pixels."""

    trained: Generator

    def __init__(self, model: Generator, tokens: Tokens, config: GeneratorLossConfig):
        super().__init__()
        self.trained = model
        self.tokens = tokens
        self.config = config

    @property
    def compiled(self) -> Iterable[nn.Module]:
        """The generator's networks that may be compiled."""
        return self.trained.compiled

    def ahead(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the tokens, on the generator's device."""
        return {"tokens": to_device(self.tokens(batch), next(self.trained.parameters()).device)}

    def losses(self, optimizer: str, step: Step) -> Losses:
        """Return the generator's losses."""
        tokens = (step.shared or self.ahead(step.batch))["tokens"]
        return self.trained.loss(tokens, to_device(step.batch.labels, tokens.device), self.config, step)
