"""Shared by autoregressive generators: a causal transformer over the ids of an image in raster order.

An id may consist of several parts, each with its own small vocabulary, which are predicted one after the
other; LlamaGen has one part, Open-MAGVIT2 two. Sampling uses a cache, so that each step computes one position
instead of recomputing all earlier ones; the ids are the same.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Self, cast

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from sftok.decoding.drawing import draw_ids
from sftok.decoding.guidance import GenerationConfig, guidance_scales, guide
from sftok.decoding.guidance_grid import GuidanceGrid
from sftok.generators.base import (
    Draws,
    Generator,
    GeneratorConfig,
    GeneratorLossConfig,
    TokenShape,
    dropout_noise,
)
from sftok.models.layers import draw_kept, drop_out
from sftok.models.llama import ROWS, KeyValueCache, LlamaBlock, RMSNorm, check_rotary, rotary_table

TEMPERATURE_STEP = 0.9
"""Ratio of consecutive temperatures, from 1 down, that replace those of a grid."""

OnLogits = Callable[[int, int, Tensor], None]
"""Observes `(position, part, logits)` in sampling and must not change them; logits `[B, V]` are guided."""


class AutoregressiveConfig(GeneratorConfig):
    """The shape of the transformer; the defaults are those of LlamaGen-L.

    Attributes:
        width: channels of a token.
        depth: number of Llama blocks over the image's ids.
        heads: attention heads; the weights do not determine their number.
        dropout: rate for the embedded sequence and for residual branches in training.
    """

    on_grid: ClassVar[bool] = True

    width: int = Field(default=1024, ge=1)
    depth: int = Field(default=24, ge=1)
    heads: int = Field(default=16, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _divides(self) -> Self:
        check_rotary(self.width, self.heads)
        return self

    @abstractmethod
    def parts(self, vocabulary: int) -> tuple[int, ...]:
        """Return the vocabularies of an id's parts, least significant first; their product is `vocabulary`.

        Raises:
            ValueError: the product is not `vocabulary`.
        """

    def check(self, tokens: TokenShape) -> None:
        """Reject latents, ids that do not form a square grid, and vocabularies that cannot be split."""
        super().check(tokens)
        assert tokens.vocabulary is not None
        if tokens.side is None:
            raise ValueError(
                f"the generator {self.reference!r} has 2D positions, and {tokens.num_tokens} ids do not "
                "form a square grid; choose a 2D tokenizer with one id per place, or the generator 'maskgit'"
            )
        self.parts(tokens.vocabulary)

    def points(self, grid: GuidanceGrid, steps: int, mask_schedule: str) -> list[GenerationConfig]:
        """Return the guidance of `grid`, with as many softmax temperatures as it has: 1, 0.9, 0.81, ...

        The grid's temperatures are meant for MaskGIT's noise, which is annealed to 0; held constant above 1,
        they would only flatten the learned distribution.
        """
        number = len(grid.temperatures)
        temperatures = tuple(round(TEMPERATURE_STEP**place, 3) for place in range(number))
        return grid.model_copy(update={"temperatures": temperatures}).points(steps, mask_schedule)


class AutoregressiveGenerator(Generator):
    """p(id | earlier ids, class); the class is one additional token in front."""

    def __init__(
        self,
        config: AutoregressiveConfig,
        tokens: TokenShape,
        num_classes: int,
        generator: torch.Generator | None = None,
        intra_depth: int = 0,
    ) -> None:
        """Build a new model in which `intra_depth` blocks process the parts of one id."""
        super().__init__(config, tokens, num_classes)
        assert tokens.vocabulary is not None
        assert tokens.side is not None
        width, heads = config.width, config.heads
        self.dropout = config.dropout
        self.num_tokens, self.side = tokens.num_tokens, tokens.side
        self.parts = config.parts(tokens.vocabulary)
        self.head_dim = width // heads
        self.class_embedding = nn.Embedding(num_classes + 1, width)
        self.embeddings = nn.ModuleList(nn.Embedding(size, width) for size in self.parts)
        self.blocks = nn.ModuleList(LlamaBlock(width, heads, config.dropout) for _ in range(config.depth))
        self.intra = nn.ModuleList(LlamaBlock(width, heads, config.dropout) for _ in range(intra_depth))
        self.norm = RMSNorm(width)
        self.heads = nn.ModuleList(nn.Linear(width, size, bias=False) for size in self.parts)
        self._initialize(generator or torch.Generator().manual_seed(0))

    def forward(self, ids: Tensor, labels: Tensor, noise: torch.Generator | None = None) -> list[Tensor]:
        """Compute logits of every id from the ids before it, and of each part from the parts before it.

        Args:
            ids: int64 `[B, K]`, or fewer for only the first positions; the last id only affects the logits of
                its own parts.
            labels: int64 `[B]` in 0..num_classes, the last of which is `null_class`.
            noise: source of dropout, on the module's device; without it nothing is dropped, in any mode.

        Returns:
            Logits `[B, K, V]` of each part.
        """
        parts = self.split(ids)
        table = rotary_table(self.side, self.head_dim, ids.device)
        tokens = torch.cat([self.class_embedding(labels).unsqueeze(1), self._embed(parts[:, :-1])], dim=1)
        tokens = drop_out(tokens, self.dropout, draw_kept(tokens.shape, self.dropout, noise))
        for block in self.blocks:
            kept = cast(LlamaBlock, block).draw(tokens, noise)
            tokens = block(tokens, table[: tokens.shape[1]], kept)
        # Each id has its own sequence: the blocks' output for it, then all of its parts but the last.
        embedded = [each(parts[..., place]) for place, each in enumerate(self.embeddings[:-1])]
        inner = torch.stack([tokens, *embedded], dim=2).flatten(0, 1)
        for block in self.intra:
            inner = block(inner, table[: len(self.parts)], cast(LlamaBlock, block).draw(inner, noise))
        inner = self.norm(inner).unflatten(0, tokens.shape[:2])
        return [head(inner[:, :, place]) for place, head in enumerate(self.heads)]

    @property
    def compiled(self) -> Iterable[nn.Module]:
        """The blocks; the whole network draws dropout masks, which cannot be compiled."""
        return (*self.blocks, *self.intra)

    def split(self, ids: Tensor) -> Tensor:
        """Split ids into parts: int64 `[...]` to `[..., P]`."""
        parts = []
        for size in self.parts:
            parts.append(ids % size)
            ids = ids // size
        return torch.stack(parts, dim=-1)

    def join(self, parts: Tensor) -> Tensor:
        """Join parts to ids: int64 `[..., P]` to `[...]`."""
        scales = [math.prod(self.parts[:place]) for place in range(len(self.parts))]
        return (parts * torch.tensor(scales, device=parts.device)).sum(-1)

    def loss(
        self, tokens: Tensor, labels: Tensor, config: GeneratorLossConfig, draws: Draws
    ) -> dict[str, Tensor]:
        """Return the sum of the parts' cross-entropies of ids `[B, K]`, and the share of ids ranked first."""
        labels = self.drop_classes(labels, config.class_drop, draws)
        logits = self(tokens, labels, dropout_noise(draws, tokens.device))
        targets = self.split(tokens).unbind(-1)
        pairs = list(zip(logits, targets, strict=True))
        losses = [F.cross_entropy(each.flatten(0, 1).float(), target.flatten()) for each, target in pairs]
        with torch.no_grad():
            hits = [each.float().argmax(-1) == target for each, target in pairs]
            accuracy = torch.stack(hits).all(0).float().mean()
        return {"loss": torch.stack(losses).sum(), "accuracy": accuracy}

    def sampling_steps(self, config: GenerationConfig) -> int:
        """Return one step per id, regardless of the configuration."""
        return self.num_tokens

    def sample(self, labels: Tensor, config: GenerationConfig, generator: torch.Generator) -> Tensor:
        """Sample ids, int64 `[B, K]`, for labels `[B]`; the guidance schedule runs over the ids."""
        scales = guidance_scales(config, self.num_tokens)
        return self.sample_guided(labels, [[scale] * len(self.parts) for scale in scales], config, generator)

    @torch.no_grad()
    def sample_guided(
        self,
        labels: Tensor,
        scales: Sequence[Sequence[float]],
        config: GenerationConfig,
        generator: torch.Generator,
        on_logits: OnLogits | None = None,
    ) -> Tensor:
        """Sample ids, int64 `[B, K]`, with a guidance scale for each of the K positions and each part.

        Args:
            labels: int64 `[B]`.
            scales: guidance scales; 0 means no guidance.
            config: its temperature, `top_k` and `top_p` are used.
            generator: source of every draw; its device is the model's.
            on_logits: called for each position and part.
        """
        guided = any(scale for each in scales for scale in each)
        if guided:
            labels = torch.cat([labels, torch.full_like(labels, self.null_class)])
        # Padded to at least ROWS rows, so that each row is rounded as in any larger batch.
        missing = max(0, ROWS - len(labels))
        reader = _Reader(self)
        embedded, ids = self.class_embedding(F.pad(labels, (0, missing))), []
        for position in range(self.num_tokens):
            inner, parts = reader.read(embedded), []
            for part, scale in enumerate(scales[position]):
                logits = reader.logits(inner)[: len(labels)].float()
                if guided:
                    logits = guide(logits, scale)
                if on_logits is not None:
                    on_logits(position, part, logits)
                parts.append(draw_ids(logits, config, generator))
                chosen = F.pad(parts[-1].repeat(2 if guided else 1), (0, missing))
                inner = self.embeddings[part](chosen)
                embedded = inner if part == 0 else embedded + inner
            ids.append(self.join(torch.stack(parts, dim=-1)))
        return torch.stack(ids, dim=1)

    def _embed(self, parts: Tensor) -> Tensor:
        """Return the sum of the embeddings of parts `[B, L, P]`: `[B, L, D]`."""
        first, *others = (each(parts[..., place]) for place, each in enumerate(self.embeddings))
        return sum(others, first)

    def _initialize(self, generator: torch.Generator) -> None:
        """Normal with deviation 0.02, norms the identity, heads zero: all ids start equally likely."""
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02, generator=generator)
        for head in self.heads:
            nn.init.zeros_(cast(nn.Linear, head).weight)


class _Reader:
    """Runs a generator one position at a time, with caches for the later ones."""

    def __init__(self, model: AutoregressiveGenerator) -> None:
        self.model = model
        self.table = rotary_table(model.side, model.head_dim, model.norm.weight.device)
        self.caches = [KeyValueCache(model.num_tokens) for _ in model.blocks]
        self.position = 0

    def read(self, embedded: Tensor) -> Tensor:
        """Map the next position's embedding `[B, D]` to the blocks' output for its id, `[B, D]`."""
        hidden = self._run(self.model.blocks, self.caches, embedded, self.position)
        self.position += 1
        self.part, self.intra_caches = 0, [KeyValueCache(len(self.model.parts)) for _ in self.model.intra]
        return hidden

    def logits(self, inner: Tensor) -> Tensor:
        """Return the next part's logits `[B, V]`, given `read`'s output or the previous part's embedding."""
        hidden = self._run(self.model.intra, self.intra_caches, inner, self.part)
        logits: Tensor = self.model.heads[self.part](self.model.norm(hidden))
        self.part += 1
        return logits

    def _run(
        self, blocks: nn.ModuleList, caches: Sequence[KeyValueCache], tokens: Tensor, place: int
    ) -> Tensor:
        tokens = tokens.unsqueeze(1)
        for block, cache in zip(blocks, caches, strict=True):
            tokens = block(tokens, self.table[place : place + 1], start=place, cache=cache)
        return tokens.squeeze(1)
