"""MaskGIT-VQGAN: the frozen teacher whose codes SFTok learns, with its pixel decoder (Section 3.1).

Its decoder is the pixel prediction head of all stages, fine-tuned in stage 3. Its peculiarities, kept for its
released weights, are no attention, 3x3 convolutions of the blocks without bias, a shortcut that is applied to
the block's output rather than its input, average pooling down, and nearest neighbor up.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import Field, model_validator
from torch import Tensor, nn

from sftok.checkpoints.pretrained import Pretrained
from sftok.config import Config
from sftok.distributed import SINGLE, World
from sftok.models.base import BackboneConfig, PixelDecoder
from sftok.models.convolutional import ConvolutionalShape
from sftok.quantizers.base import Quantized, commit, nearest, squared_distances
from sftok.quantizers.optvq import sinkhorn

PIXELS_AT_ONCE = 2**21
"""Maximum number of pixels processed together if no gradient is needed.

At the released width, the output of the widest layer then takes a gigabyte, and several exist at once.
"""


class VQGANConfig(ConvolutionalShape, BackboneConfig, name="maskgit-vqgan"):
    """The shape of a VQGAN; the default is the paper's teacher. Its middle has as many blocks as a level."""

    def build_encoder(self, generator: torch.Generator | None = None) -> VQGANEncoder:
        """Build the convolutional encoder, with weights drawn from `generator` (None: seed 0)."""
        return VQGANEncoder(self, generator)

    def build_decoder(self, image_size: int, generator: torch.Generator | None = None) -> VQGANDecoder:
        """Build codebook and convolutional decoder, with weights drawn from `generator` (None: seed 0)."""
        return VQGANDecoder(self, image_size, generator)


class ResidualBlock(nn.Module):
    """Group norm, SiLU and convolution, twice, with a residual connection."""

    def __init__(self, inputs: int, outputs: int, norm_groups: int) -> None:
        super().__init__()
        self.norm1 = _norm(inputs, norm_groups)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm2 = _norm(outputs, norm_groups)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(outputs, outputs, 1, bias=False) if inputs != outputs else None

    def forward(self, hidden: Tensor) -> Tensor:
        """Map `[B, inputs, h, w]` to `[B, outputs, h, w]`."""
        out = self.conv1(F.silu(self.norm1(hidden)))
        out = self.conv2(F.silu(self.norm2(out)))
        # The release's quirk: if widths differ, the input is dropped and the shortcut reads the output.
        return out + (hidden if self.shortcut is None else self.shortcut(out))


class VQGANEncoder(nn.Module):
    """Maps images to a grid of continuous codes."""

    def __init__(self, config: VQGANConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        groups, blocks, channels = config.norm_groups, config.num_res_blocks, config.channels
        self.conv_in = nn.Conv2d(3, config.hidden_channels, 3, padding=1, bias=False)
        widths = pairwise((config.hidden_channels, *channels))
        self.down = nn.ModuleList(_blocks(inputs, outputs, blocks, groups) for inputs, outputs in widths)
        self.mid = _blocks(channels[-1], channels[-1], blocks, groups)
        self.norm_out = _norm(channels[-1], groups)
        self.conv_out = nn.Conv2d(channels[-1], config.code_dim, 1)
        _initialize(self, generator)

    def forward(self, images: Tensor) -> Tensor:
        """Map images `[B, 3, H, W]` in [0, 1] to `[B, C, h, w]`."""
        hidden = self.down[0](self.conv_in(images))
        for level in self.down[1:]:
            hidden = level(F.avg_pool2d(hidden, 2))
        return self.conv_out(F.silu(self.norm_out(self.mid(hidden))))


class VQGANDecoder(PixelDecoder):
    """The codebook and the convolutional decoder.

    Levels are numbered as in the encoder, 0 at full resolution, and are applied from the last to the first.
    """

    def __init__(
        self, config: VQGANConfig, image_size: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(config, image_size)
        groups, blocks, channels = config.norm_groups, config.num_res_blocks, config.channels
        self.conv_in = nn.Conv2d(config.code_dim, channels[-1], 3, padding=1)
        self.mid = _blocks(channels[-1], channels[-1], blocks, groups)
        widths = pairwise((*channels, channels[-1]))
        self.up = nn.ModuleList(_blocks(inputs, outputs, blocks, groups) for outputs, inputs in widths)
        self.after_up = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for width in channels[1:])
        self.norm_out = _norm(channels[0], groups)
        self.conv_out = nn.Conv2d(channels[0], 3, 3, padding=1)
        _initialize(self, generator)

    def decode_embeddings(self, embeddings: Tensor) -> Tensor:
        """Decode embeddings `[B, C, h, w]` to images `[B, 3, H, W]`, not clamped."""
        if torch.is_grad_enabled():
            return self._convolve(embeddings)
        return torch.cat([self._convolve(part) for part in embeddings.split(images_at_once(self.image_size))])

    def _convolve(self, embeddings: Tensor) -> Tensor:
        hidden = self.up[-1](self.mid(self.conv_in(embeddings)))
        for level, convolve in zip(reversed(self.up[:-1]), reversed(self.after_up), strict=True):
            hidden = level(convolve(F.interpolate(hidden, scale_factor=2.0, mode="nearest")))
        return self.conv_out(F.silu(self.norm_out(hidden)))


class MaskGITVQGANRecord(Config):
    """The record from which a saved teacher is rebuilt."""

    image_size: int = Field(ge=1)
    backbone: BackboneConfig

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.backbone.check(self.image_size)
        return self


class MaskGITVQGAN(Pretrained):
    """The complete teacher: encoder, nearest code, pixel decoder."""

    architecture: ClassVar[str] = "maskgit-vqgan"
    record_type: ClassVar[type[Config]] = MaskGITVQGANRecord

    def __init__(
        self, backbone: BackboneConfig, image_size: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        backbone.check(image_size)
        self.backbone = backbone
        self.image_size = image_size
        generator = generator or torch.Generator().manual_seed(0)
        self.encoder = backbone.build_encoder(generator)
        self.pixel_decoder = backbone.build_decoder(image_size, generator)

    @classmethod
    def from_config(cls, config: MaskGITVQGANRecord, generator: torch.Generator | None = None) -> Self:
        """Build a teacher with weights drawn from `generator` (None: seed 0)."""
        return cls(config.backbone, config.image_size, generator)

    @property
    def record(self) -> MaskGITVQGANRecord:
        """The configuration of the backbone and the size of its images."""
        return MaskGITVQGANRecord(image_size=self.image_size, backbone=self.backbone)

    @property
    def num_tokens(self) -> int:
        """Codes per image, N."""
        return self.backbone.num_codes(self.image_size)

    @property
    def codebook_size(self) -> int:
        """Number of codes, V."""
        return self.backbone.codebook_size

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Encode images `[B, 3, H, W]` in [0, 1] to teacher codes, int64 `[B, N]`, in chunks."""
        parts = images.split(images_at_once(self.image_size))
        return torch.cat([nearest(self._latents(part), self.pixel_decoder.codebook) for part in parts])

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Decode codes, int64 `[B, N]`, to images `[B, 3, H, W]` in [0, 1]."""
        return self.pixel_decoder.decode_codes(codes).clamp(0, 1)

    def forward(self, images: Tensor, world: World = SINGLE) -> tuple[Tensor, Quantized]:
        """Reconstruct images `[B, 3, H, W]` to train the teacher itself.

        In training mode, codes are assigned by Sinkhorn over the whole batch, so that all are used; otherwise
        each latent takes its nearest code. `world` is the processes that share the batch.

        Returns:
            The reconstruction `[B, 3, H, W]`, not clamped, and the quantization with ids `[B, N]`,
            vectors `[B, N, C]` and losses.
        """
        latents, codebook = self._latents(images), self.pixel_decoder.codebook
        ids = _spread(latents, codebook, world) if self.training else nearest(latents, codebook)
        quantized = commit(latents, codebook[ids], ids, self.backbone.commitment_cost)
        grid = rearrange(
            quantized.quantized, "b (h w) c -> b c h w", h=self.backbone.code_grid(self.image_size)
        )
        return self.pixel_decoder.decode_embeddings(grid), quantized

    def _latents(self, images: Tensor) -> Tensor:
        return rearrange(self.encoder(images), "b c h w -> b (h w) c").float()


@torch.no_grad()
def _spread(latents: Tensor, codebook: Tensor, world: World) -> Tensor:
    everywhere = world.gather(latents)
    distances = squared_distances(everywhere.flatten(0, 1), codebook).clamp_min(0).sqrt()
    # These vectors are unbounded, so differences between codes are measured relative to their deviation. A
    # latent's mean distance to all codes cancels in the plan and would only blur the scale.
    contrasts = distances - distances.mean(1, keepdim=True)
    plan = sinkhorn(contrasts / contrasts.std().clamp_min(1e-8))
    return world.share(plan.argmax(1).view(everywhere.shape[:2]))


def images_at_once(image_size: int) -> int:
    """Return how many images a convolutional network processes together if no gradient is needed."""
    return max(1, PIXELS_AT_ONCE // image_size**2)


def _norm(channels: int, groups: int) -> nn.GroupNorm:
    return nn.GroupNorm(groups, channels, eps=1e-6)


def _blocks(inputs: int, outputs: int, count: int, groups: int) -> nn.Sequential:
    widths = pairwise((inputs, *[outputs] * count))
    return nn.Sequential(*(ResidualBlock(before, after, groups) for before, after in widths))


def _initialize(module: nn.Module, generator: torch.Generator | None) -> None:
    generator = generator or torch.Generator().manual_seed(0)
    for child in module.modules():
        if isinstance(child, nn.Conv2d):
            nn.init.kaiming_uniform_(child.weight, a=5**0.5, generator=generator)
            if child.bias is not None:
                nn.init.zeros_(child.bias)
        elif isinstance(child, PixelDecoder):
            bound = 1 / child.config.codebook_size
            nn.init.uniform_(child.codebook, -bound, bound, generator=generator)


MASKGIT_VQGAN = MaskGITVQGANRecord(image_size=256, backbone=VQGANConfig())
"""The teacher of the paper: factor 16, 256 codes per image, 1024 codes."""
