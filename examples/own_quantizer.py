"""A quantizer of your own, as a row of a table: FSQ (Mentzer et al., 2023) compared with OptVQ.

    python -m experiments run own_quantizer.py

A part consists of two classes: a configuration, which a row names, and the module that it builds. The hash of
this file is part of the keys of everything that uses its parts: if you edit the file, only rows with these
parts are trained again.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from experiments.specs import Claim, Experiment, Row
from sftok.distributed import SINGLE, World
from sftok.quantizers.base import Quantized, QuantizerConfig


class OwnFSQConfig(QuantizerConfig):
    """The number of levels of each channel."""

    levels: tuple[int, ...]

    @property
    def codebook_size(self) -> int:
        """Every combination of levels is a code."""
        return math.prod(self.levels)

    def check(self, token_dim: int, num_latents: int) -> None:
        """Reject settings that do not fit the latents; called in planning, before anything is trained."""
        if len(self.levels) != token_dim:
            raise ValueError(f"{len(self.levels)} levels, but the latents have {token_dim} channels")

    def build(self, token_dim: int, generator: torch.Generator | None = None) -> OwnFSQ:
        """Build the module. Draw initial weights from `generator`, never from torch's global state."""
        return OwnFSQ(self)


class OwnFSQ(nn.Module):
    """Rounds each channel to one of its levels; for brevity, the numbers of levels must be odd."""

    def __init__(self, config: OwnFSQConfig) -> None:
        super().__init__()
        self.config = config  # saved with the weights
        levels = torch.tensor(config.levels)
        self.register_buffer("levels", levels, persistent=False)
        self.register_buffer("basis", levels.cumprod(0) // levels, persistent=False)

    @property
    def codebook_size(self) -> int:
        """Number of codes."""
        return self.config.codebook_size

    def forward(
        self, latents: Tensor, generator: torch.Generator | None = None, world: World = SINGLE
    ) -> Quantized:
        """Quantize latents `[B, K, D]`; the gradient passes straight through the rounding."""
        half = self.levels // 2
        bounded = latents.float().tanh() * half
        rounded = bounded + (bounded.round() - bounded).detach()
        none = bounded.new_zeros(())  # FSQ has no losses of its own
        return Quantized(self.assign(latents), rounded / half, none, none, none)

    def assign(self, latents: Tensor) -> Tensor:
        """Latents `[B, K, D]` to int64 ids `[B, K]`."""
        half = self.levels // 2
        return (((latents.float().tanh() * half).round().long() + half) * self.basis).sum(-1)

    def lookup(self, ids: Tensor) -> Tensor:
        """int64 ids `[B, K]` to codes `[B, K, D]`."""
        half = self.levels // 2
        return (ids.unsqueeze(-1) // self.basis % self.levels - half).float() / half


EXPERIMENT = Experiment(
    name="own-quantizer",
    kind="ablation",
    title="FSQ and OptVQ",
    source="examples/own_quantizer.py",
    description="Both rows have the same encoder, decoder, teacher and steps; only the quantizer differs.",
    rows=(
        Row(name="optvq", label="OptVQ"),
        Row(
            name="fsq",
            label="FSQ",
            overrides={
                "tokenizer.quantizer": {"name": "own_quantizer:OwnFSQConfig", "levels": [7, 5, 5, 5]},
                "tokenizer.token_dim": 4,
            },
        ),
    ),
    claims=(
        Claim(
            name="fsq-is-no-worse",
            text="FSQ reconstructs at least as well as OptVQ",
            source="our own guess",
            order="fsq@8 < optvq@8",
        ),
    ),
)
