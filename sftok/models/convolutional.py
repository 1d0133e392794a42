"""Shared by convolutional encoders and decoders: a shape with levels of resolution."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from sftok.config import Config


class ConvolutionalShape(Config):
    """The sizes of both halves, which mirror each other; the defaults are those of the paper's teacher.

    Attributes:
        hidden_channels: channels after the first convolution, before the multipliers.
        channel_multipliers: one per level, level 0 at full resolution; each level but the last halves the
            grid.
        num_res_blocks: residual blocks per level.
        norm_groups: groups of every group norm.
    """

    hidden_channels: int = Field(default=128, ge=1)
    channel_multipliers: tuple[int, ...] = Field(default=(1, 1, 2, 2, 4), min_length=1)
    num_res_blocks: int = Field(default=2, ge=1)
    norm_groups: int = Field(default=32, ge=1)

    @model_validator(mode="after")
    def _groups_divide(self) -> Self:
        for channels in (self.hidden_channels, *self.channels):
            if channels < 1 or channels % self.norm_groups:
                raise ValueError(f"norm_groups {self.norm_groups} does not divide {channels} channels")
        return self

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.hidden_channels * multiplier for multiplier in self.channel_multipliers)

    @property
    def factor(self) -> int:
        """Pixels per side covered by a latent."""
        return 2 ** (len(self.channel_multipliers) - 1)
