"""The MaskGIT generator: a class-conditional bidirectional transformer over token ids (Sections 3.3, 4.3).

One call predicts the distribution of every id given a class and the ids that are already known; an image's
ids are sampled by the same loop as in the tokenizer's decoder. The architecture is the release's, a BERT:
learned positions, a layer norm after each residual with epsilon 1e-12, exact GELU, dropout of embeddings,
attention weights and residual branches. In training, a random part of an image's ids is masked and predicted
from the rest and the class; some classes are replaced by a learned null class, for classifier-free guidance.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import ClassVar, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from sftok.decoding.guidance import GenerationConfig, guided
from sftok.decoding.schedule import sample_mask
from sftok.decoding.unmask import OnStep, iterative_unmask
from sftok.device import to_device
from sftok.generators.base import (
    Draws,
    Generator,
    GeneratorConfig,
    GeneratorLossConfig,
    GeneratorRecord,
    TokenShape,
    dropout_noise,
)
from sftok.losses.masked_cross_entropy import masked_cross_entropy
from sftok.models.layers import MLP, SelfAttention, attend_with_dropout, check_heads, draw_kept, drop_out

_NORM_EPSILON = 1e-12

Kept = tuple[Tensor | None, Tensor | None, Tensor | None]
"""Dropout masks of a block: for attention weights `[B, h, L, L]` and both residual branches `[B, L, D]`. They
are drawn outside the block, because `torch.compile` does not support generators."""


class MaskGITConfig(GeneratorConfig, name="maskgit"):
    """The shape of the transformer; the default is the release's.

    Attributes:
        width: channels of a token.
        depth: number of transformer blocks.
        heads: attention heads; the weights do not determine their number.
        mlp_ratio: width of the MLP's hidden layer over `width`.
        dropout: rate for embeddings, attention weights and residual branches in training.
    """

    width: int = Field(default=768, ge=1)
    depth: int = Field(default=24, ge=1)
    heads: int = Field(default=16, ge=1)
    mlp_ratio: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    loss_settings = frozenset(GeneratorLossConfig.model_fields)

    @model_validator(mode="after")
    def _divides(self) -> Self:
        check_heads(self.width, self.heads)
        return self

    def build(
        self, tokens: TokenShape, num_classes: int, generator: torch.Generator | None = None
    ) -> MaskGITGenerator:
        """Build a generator with weights drawn from `generator` (None: seed 0)."""
        return MaskGITGenerator(self, tokens, num_classes, generator)


class PostNormBlock(nn.Module):
    """Attention and MLP, each with a residual connection and followed by a layer norm."""

    def __init__(self, config: MaskGITConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.attn = SelfAttention(config.width, config.heads)
        self.norm1 = nn.LayerNorm(config.width, eps=_NORM_EPSILON)
        self.mlp = MLP(config.width, config.mlp_ratio * config.width)
        self.norm2 = nn.LayerNorm(config.width, eps=_NORM_EPSILON)

    def draw(self, tokens: Tensor, noise: torch.Generator | None) -> Kept:
        """Draw the dropout masks for tokens `[B, L, D]`."""
        batch, length, _ = tokens.shape
        of_weights = draw_kept((batch, self.attn.heads, length, length), self.dropout, noise)
        of_attended = draw_kept(tokens.shape, self.dropout, noise)
        return of_weights, of_attended, draw_kept(tokens.shape, self.dropout, noise)

    def forward(self, tokens: Tensor, kept: Kept = (None, None, None)) -> Tensor:
        """Map tokens `[B, L, D]` to `[B, L, D]`; `kept` comes from `draw`; by default nothing is dropped."""
        of_weights, of_attended, of_mlp = kept
        attended = self.attn(tokens, partial(attend_with_dropout, rate=self.dropout, kept=of_weights))
        tokens = self.norm1(tokens + drop_out(attended, self.dropout, of_attended))
        return self.norm2(tokens + drop_out(self.mlp(tokens), self.dropout, of_mlp))


class MaskGITGenerator(Generator):
    """p(ids | known ids, class); the class is one additional token in front."""

    architecture: ClassVar[str] = "maskgit-generator"

    def __init__(
        self,
        config: MaskGITConfig,
        tokens: TokenShape,
        num_classes: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(config, tokens, num_classes)
        assert tokens.vocabulary is not None
        self.num_tokens, self.vocabulary = tokens.num_tokens, tokens.vocabulary
        self.token_embedding = nn.Embedding(self.vocabulary + 1, config.width)
        self.class_embedding = nn.Embedding(num_classes + 1, config.width)
        self.position_embedding = nn.Parameter(torch.empty(1 + self.num_tokens, config.width))
        self.norm_in = nn.LayerNorm(config.width, eps=_NORM_EPSILON)
        self.blocks = nn.ModuleList(PostNormBlock(config) for _ in range(config.depth))
        self.dropout = config.dropout
        self.head = nn.Linear(config.width, self.vocabulary)
        self._initialize(generator or torch.Generator().manual_seed(0))

    @property
    def mask_id(self) -> int:
        """The id of an unknown token: V, one past the vocabulary."""
        return self.vocabulary

    def forward(self, ids: Tensor, labels: Tensor, noise: torch.Generator | None = None) -> Tensor:
        """Compute logits of every id.

        Args:
            ids: int64 `[B, K]` in 0..V, where V marks a masked id.
            labels: int64 `[B]` in 0..num_classes, the last of which is `null_class`.
            noise: source of dropout, on the module's device; without it nothing is dropped, in any mode.

        Returns:
            Logits `[B, K, V]`.
        """
        tokens = torch.cat([self.class_embedding(labels.unsqueeze(1)), self.token_embedding(ids)], dim=1)
        tokens, rate = self.norm_in(tokens + self.position_embedding), self.dropout
        tokens = drop_out(tokens, rate, draw_kept(tokens.shape, rate, noise))
        for block in self.blocks:
            tokens = block(tokens, cast(PostNormBlock, block).draw(tokens, noise))
        return self.head(tokens[:, 1:])

    @property
    def compiled(self) -> Iterable[nn.Module]:
        """The blocks; the whole network draws dropout masks, which cannot be compiled."""
        return self.blocks

    def loss(
        self, tokens: Tensor, labels: Tensor, config: GeneratorLossConfig, draws: Draws
    ) -> dict[str, Tensor]:
        """Return the masked cross-entropy of ids `[B, K]`, and the accuracy at masked ids."""
        shape = (draws.world.size * len(tokens), tokens.shape[1])
        drawn = sample_mask(shape, config.mask_schedule, draws.generator)
        masked = to_device(draws.world.share(drawn), tokens.device)
        labels = self.drop_classes(labels, config.class_drop, draws)
        noise = dropout_noise(draws, tokens.device)
        logits = self(tokens.masked_fill(masked, self.mask_id), labels, noise)
        loss = masked_cross_entropy(
            logits,
            tokens,
            masked,
            unmasked_weight=config.unmasked_weight,
            label_smoothing=config.label_smoothing,
            world=draws.world,
        )
        with torch.no_grad():
            # In float32: on a CPU, the argmax of bfloat16 is ten times slower.
            hits = (logits.float().argmax(-1) == tokens) & masked
            accuracy = hits.sum() / draws.world.mean(masked.sum().float())
        return {"loss": loss, "masked_accuracy": accuracy}

    def sampling_steps(self, config: GenerationConfig) -> int:
        """Return the configured number of steps."""
        return config.steps

    def coordinates(self, config: GenerationConfig) -> dict[str, float]:
        """Return steps and temperature."""
        return {"steps": config.steps, "temperature": config.temperature}

    @torch.no_grad()
    def sample(
        self,
        labels: Tensor,
        config: GenerationConfig,
        generator: torch.Generator,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Sample ids, int64 `[B, K]`, for labels `[B]`; `on_step` is called after each step."""
        return iterative_unmask(
            guided(self, labels, self.null_class, config),
            batch_size=len(labels),
            length=self.num_tokens,
            mask_id=self.mask_id,
            config=config.decoding,
            generator=generator,
            on_step=on_step,
        ).ids

    def _initialize(self, generator: torch.Generator) -> None:
        """Initialize as in BERT: normal with deviation 0.02, biases zero, norms the identity."""
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)


def _paper_size(num_tokens: int, vocabulary: int) -> GeneratorRecord:
    """MaskGIT's transformer (Section 4.3), for ImageNet's classes."""
    return GeneratorRecord(
        model=MaskGITConfig(), num_tokens=num_tokens, vocabulary=vocabulary, num_classes=1000
    )


SFTOK_MASKGIT = _paper_size(num_tokens=64, vocabulary=8192)
TITOK_B64_MASKGIT = _paper_size(num_tokens=64, vocabulary=4096)
VQGAN_MASKGIT = _paper_size(num_tokens=256, vocabulary=1024)
SIZES = {
    "sftok-maskgit": SFTOK_MASKGIT,
    "titok-b64-maskgit": TITOK_B64_MASKGIT,
    "vqgan-maskgit": VQGAN_MASKGIT,
}
"""The generators of Table 2 by name: for the tokens of SFTok (both B and L), TiTok-B64, MaskGIT's VQGAN."""
