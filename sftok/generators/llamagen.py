"""LlamaGen (arXiv 2406.06525): a plain causal language model over the ids of an image, row by row."""

from __future__ import annotations

from typing import ClassVar

import torch

from sftok.checkpoints.checkpoint import LLAMAGEN_GENERATOR
from sftok.generators.autoregressive import AutoregressiveConfig, AutoregressiveGenerator
from sftok.generators.base import GeneratorRecord, TokenShape


class LlamaGenConfig(AutoregressiveConfig, name="llamagen"):
    """The defaults are LlamaGen-L's: 343 million parameters with 16,384 ids and 1000 classes."""

    def parts(self, vocabulary: int) -> tuple[int, ...]:
        """Return a single part: each id is predicted as a whole."""
        return (vocabulary,)

    def build(
        self, tokens: TokenShape, num_classes: int, generator: torch.Generator | None = None
    ) -> LlamaGenGenerator:
        """Build a generator with weights drawn from `generator` (None: seed 0)."""
        return LlamaGenGenerator(self, tokens, num_classes, generator)


class LlamaGenGenerator(AutoregressiveGenerator):
    """p(id | earlier ids, class)."""

    architecture: ClassVar[str] = LLAMAGEN_GENERATOR


LLAMAGEN_L = GeneratorRecord(model=LlamaGenConfig(), num_tokens=256, vocabulary=16_384, num_classes=1000)
"""LlamaGen-L at 256 x 256 pixels, on ImageNet."""
