"""Open-MAGVIT2 (arXiv 2409.04410): a causal model over ids of two parts, each with a small vocabulary.

The ids of lookup-free quantization are bits, 2^18 of them in the release: too many for one softmax. The first
bits are predicted as one part, and the others as a second part, given the first.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, field_validator

from sftok.checkpoints.checkpoint import OPEN_MAGVIT2_GENERATOR
from sftok.generators.autoregressive import AutoregressiveConfig, AutoregressiveGenerator
from sftok.generators.base import GeneratorRecord, TokenShape


class OpenMagvit2Config(AutoregressiveConfig, name="open-magvit2"):
    """The defaults are those of Open-MAGVIT2-B: 344 million parameters with 1000 classes.

    Attributes:
        bits: number of bits of each part of an id, the least significant part first.
        intra_depth: number of Llama blocks over the parts of one id.
    """

    bits: tuple[int, ...] = Field(default=(6, 12), min_length=1)
    intra_depth: int = Field(default=2, ge=0)

    @field_validator("bits")
    @classmethod
    def _at_least_one(cls, bits: tuple[int, ...]) -> tuple[int, ...]:
        if min(bits) < 1:
            raise ValueError("every part has at least one bit")
        return bits

    def parts(self, vocabulary: int) -> tuple[int, ...]:
        """Return the vocabularies of the parts, a power of 2 for each."""
        if vocabulary != 2 ** sum(self.bits):
            raise ValueError(
                f"bits {list(self.bits)} make {2 ** sum(self.bits)} ids, and the tokenizer has {vocabulary}; "
                f"split log2({vocabulary}) bits"
            )
        return tuple(2**bits for bits in self.bits)

    def build(
        self, tokens: TokenShape, num_classes: int, generator: torch.Generator | None = None
    ) -> OpenMagvit2Generator:
        """Build a generator with weights drawn from `generator` (None: seed 0)."""
        return OpenMagvit2Generator(self, tokens, num_classes, generator, self.intra_depth)


class OpenMagvit2Generator(AutoregressiveGenerator):
    """p(id | earlier ids, class), one part of the id after the other."""

    architecture: ClassVar[str] = OPEN_MAGVIT2_GENERATOR


OPEN_MAGVIT2_B = GeneratorRecord(
    model=OpenMagvit2Config(), num_tokens=256, vocabulary=2**18, num_classes=1000
)
"""Open-MAGVIT2-B at 256 x 256 pixels, on ImageNet."""
