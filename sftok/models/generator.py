"""The MaskGIT generator: a class-conditional bidirectional transformer over token ids (Sections 3.3, 4.3).

One call predicts the distribution of every id given a class and the ids that are already known;
`sftok.generation` samples an image's ids with the loop that the tokenizer's decoder shares. The architecture
is the release's, a BERT: learned positions, a layer norm after each residual with epsilon 1e-12, exact GELU,
dropout of embeddings, attention weights and residual branches.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from sftok.checkpoints.pretrained import Pretrained
from sftok.config import Config
from sftok.models.base import GeneratorConfig
from sftok.models.layers import MLP, SelfAttention, attend, check_heads

_NORM_EPSILON = 1e-12

Kept = tuple[Tensor | None, Tensor | None, Tensor | None]
"""What dropout keeps in a block: of attention weights `[B, h, L, L]` and of both residual branches
`[B, L, D]`. It is drawn outside the block, because `torch.compile` does not take generators."""


class MaskGITConfig(GeneratorConfig, name="maskgit"):
    """The shape of the transformer; the default is the release's.

    Attributes:
        width: channels of a token.
        depth: transformer blocks.
        heads: attention heads; weights do not tell their number.
        mlp_ratio: width of the MLP's hidden layer over `width`.
        dropout: of embeddings, attention weights and residual branches in training.
    """

    width: int = Field(default=768, ge=1)
    depth: int = Field(default=24, ge=1)
    heads: int = Field(default=16, ge=1)
    mlp_ratio: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _divides(self) -> Self:
        check_heads(self.width, self.heads)
        return self

    def build(
        self,
        num_tokens: int,
        vocabulary: int,
        num_classes: int,
        generator: torch.Generator | None = None,
    ) -> MaskGITGenerator:
        """A generator with weights drawn from `generator` (None: seed 0)."""
        return MaskGITGenerator(self, num_tokens, vocabulary, num_classes, generator)


class GeneratorRecord(Config):
    """What a saved generator is rebuilt from.

    Attributes:
        model: the network.
        num_tokens: ids per image, K (N for a 2D tokenizer's codes).
        vocabulary: the number of ids, V: the size of the tokenizer's codebook.
        num_classes: classes, one of which a label names.
    """

    model: GeneratorConfig
    num_tokens: int = Field(ge=1)
    vocabulary: int = Field(ge=2)
    num_classes: int = Field(ge=1)


class PostNormBlock(nn.Module):
    """Attention and MLP, each around a residual and before a layer norm."""

    def __init__(self, config: MaskGITConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.attn = SelfAttention(config.width, config.heads)
        self.norm1 = nn.LayerNorm(config.width, eps=_NORM_EPSILON)
        self.mlp = MLP(config.width, config.mlp_ratio * config.width)
        self.norm2 = nn.LayerNorm(config.width, eps=_NORM_EPSILON)

    def draw(self, tokens: Tensor, noise: torch.Generator | None) -> Kept:
        """What dropout keeps of a pass of `tokens` `[B, L, D]`."""
        batch, length, _ = tokens.shape
        of_weights = draw_kept((batch, self.attn.heads, length, length), self.dropout, noise)
        of_attended = draw_kept(tokens.shape, self.dropout, noise)
        return of_weights, of_attended, draw_kept(tokens.shape, self.dropout, noise)

    def forward(self, tokens: Tensor, kept: Kept = (None, None, None)) -> Tensor:
        """Tokens `[B, L, D]` to `[B, L, D]`; `kept` is from `draw`; by default everything."""
        of_weights, of_attended, of_mlp = kept
        attended = self.attn(tokens, partial(attend_with_dropout, rate=self.dropout, kept=of_weights))
        tokens = self.norm1(tokens + drop_out(attended, self.dropout, of_attended))
        return self.norm2(tokens + drop_out(self.mlp(tokens), self.dropout, of_mlp))


class MaskGITGenerator(Pretrained):
    """p(ids | known ids, class): the class is one more token, in front."""

    architecture: ClassVar[str] = "maskgit-generator"
    record_type: ClassVar[type[Config]] = GeneratorRecord

    def __init__(
        self,
        config: MaskGITConfig,
        num_tokens: int,
        vocabulary: int,
        num_classes: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.num_tokens, self.vocabulary, self.num_classes = num_tokens, vocabulary, num_classes
        self.token_embedding = nn.Embedding(vocabulary + 1, config.width)
        self.class_embedding = nn.Embedding(num_classes + 1, config.width)
        self.position_embedding = nn.Parameter(torch.empty(1 + num_tokens, config.width))
        self.norm_in = nn.LayerNorm(config.width, eps=_NORM_EPSILON)
        self.blocks = nn.ModuleList(PostNormBlock(config) for _ in range(config.depth))
        self.head = nn.Linear(config.width, vocabulary)
        self._initialize(generator or torch.Generator().manual_seed(0))

    @classmethod
    def from_config(cls, config: GeneratorRecord, generator: torch.Generator | None = None) -> Self:
        """A fresh generator with weights drawn from `generator` (None: seed 0).

        Raises:
            TypeError: the record is of a generator of another kind.
        """
        model = config.model.build(config.num_tokens, config.vocabulary, config.num_classes, generator)
        if not isinstance(model, cls):
            raise TypeError(f"the generator {config.model.reference!r} is not a {cls.__name__}")
        return model

    @property
    def record(self) -> GeneratorRecord:
        """The configuration and what it was built for."""
        return GeneratorRecord(
            model=self.config,
            num_tokens=self.num_tokens,
            vocabulary=self.vocabulary,
            num_classes=self.num_classes,
        )

    @property
    def mask_id(self) -> int:
        """The id that stands for an unknown token: V, one past the vocabulary."""
        return self.vocabulary

    @property
    def null_class(self) -> int:
        """The label that stands for no class, learned by class drop: one past the last class."""
        return self.num_classes

    def forward(self, ids: Tensor, labels: Tensor, noise: torch.Generator | None = None) -> Tensor:
        """Logits of every id.

        Args:
            ids: int64 `[B, K]` in 0..V, V where the id is masked.
            labels: int64 `[B]` in 0..num_classes, the last of which is `null_class`.
            noise: feeds dropout, on the module's device; without it nothing is dropped, in any mode.

        Returns:
            Logits `[B, K, V]`.
        """
        tokens = torch.cat([self.class_embedding(labels.unsqueeze(1)), self.token_embedding(ids)], dim=1)
        tokens, rate = self.norm_in(tokens + self.position_embedding), self.config.dropout
        tokens = drop_out(tokens, rate, draw_kept(tokens.shape, rate, noise))
        for block in self.blocks:
            tokens = block(tokens, block.draw(tokens, noise))
        return self.head(tokens[:, 1:])

    def _initialize(self, generator: torch.Generator) -> None:
        """As BERT: normal with deviation 0.02, biases zero, norms the identity."""
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)


def attend_with_dropout(
    query: Tensor, key: Tensor, value: Tensor, rate: float, kept: Tensor | None
) -> Tensor:
    """Softmax attention of `[B, h, L, d]` each, to `[B, h, L, d]`, a share of `rate` of its weights dropped.

    Torch's fused attention draws from the global state, so the products are written out where something is
    dropped.
    """
    if kept is None:
        return attend(query, key, value)
    weights = (query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)).softmax(-1)
    return drop_out(weights, rate, kept).to(value.dtype) @ value


def drop_out(values: Tensor, rate: float, kept: Tensor | None) -> Tensor:
    """`values` where `kept`, scaled to keep the mean, else 0; all of them where `kept` is None.

    Torch's own dropout draws from the global state.
    """
    return values if kept is None else values * kept / (1 - rate)


def draw_kept(shape: Sequence[int], rate: float, noise: torch.Generator | None) -> Tensor | None:
    """Bools of `shape`, each false with probability `rate`; None if everything is kept."""
    if noise is None or rate == 0:
        return None
    return torch.rand(shape, generator=noise, device=noise.device) >= rate


def _paper_size(num_tokens: int, vocabulary: int) -> GeneratorRecord:
    """MaskGIT's transformer (4.3), on ImageNet's classes."""
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
"""The generators of Table 2 by name: on the tokens of SFTok (B and L alike), TiTok-B64, MaskGIT's VQGAN."""
