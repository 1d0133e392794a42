"""The interface of generators: they map labels to samples, which a tokenizer decodes to images.

```
tokens of the training images, labels -> loss
labels [B] -> sample -> ids [B,K], or latents [B,N,D] of a continuous tokenizer -> the tokenizer's decoder
```

Training and evaluation know no architecture: each generator computes its own loss and runs its own sampling.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Protocol, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from sftok.checkpoints.pretrained import Pretrained
from sftok.components import Component
from sftok.config import Config
from sftok.decoding.guidance import GenerationConfig
from sftok.decoding.guidance_grid import GuidanceGrid
from sftok.decoding.schedule import MaskSchedule
from sftok.device import to_device
from sftok.distributed import World


class TokenShape(Config):
    """A tokenizer's output for an image: K ids, or N latents if it is continuous.

    Attributes:
        num_tokens: number of ids, K, or of latents, N.
        vocabulary: number of distinct ids, V; None for latents.
        latent_dim: channels of a latent, D; None for ids.
    """

    num_tokens: int = Field(ge=1)
    vocabulary: int | None = Field(default=None, ge=2)
    latent_dim: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _is_discrete_or_continuous(self) -> Self:
        if (self.vocabulary is None) == (self.latent_dim is None):
            raise ValueError("tokens have a vocabulary or, if they are continuous, latent_dim channels")
        return self

    @property
    def side(self) -> int | None:
        """Tokens per side of their grid; None if they do not form a square grid."""
        side = math.isqrt(self.num_tokens)
        return side if side**2 == self.num_tokens else None


class GeneratorLossConfig(Config):
    """Settings of the training loss of generators; the defaults are those of MaskGIT's release.

    MaskGIT uses all of them; `GeneratorConfig.loss_settings` lists those used by another generator.
    """

    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    unmasked_weight: float = Field(default=0.1, ge=0)
    """Weight of the loss at visible positions."""
    class_drop: float = Field(default=0.1, ge=0, le=1)
    """Probability that an image's class is replaced by the null class."""
    mask_schedule: MaskSchedule = "arccos"


class GeneratorConfig(Component, family="generator", package="sftok.generators"):
    """A class-conditional generative model of the tokens of images."""

    loss_settings: ClassVar[frozenset[str]] = frozenset({"class_drop"})
    """The fields of `GeneratorLossConfig` that its loss uses."""
    on_grid: ClassVar[bool] = False
    """Whether it needs one token for each place of a 2D grid."""

    def check(self, tokens: TokenShape) -> None:
        """Reject tokens that the generator cannot produce.

        Raises:
            ValueError: the tokens are not ids (generators of latents override this), or do not fit.
        """
        if tokens.vocabulary is None:
            raise ValueError(
                f"the generator {self.reference!r} samples ids, and a continuous tokenizer has none; "
                "choose a generator of latents, or a quantizer"
            )

    def check_loss(self, loss: GeneratorLossConfig) -> None:
        """Reject settings of the loss that the generator does not use.

        Raises:
            ValueError: there is such a setting; the message names the first one.
        """
        for name, field in type(loss).model_fields.items():
            if name not in self.loss_settings and getattr(loss, name) != field.default:
                raise ValueError(
                    f"loss.{name} has no effect on the generator {self.reference!r}; leave it out"
                )

    def points(self, grid: GuidanceGrid, steps: int, mask_schedule: str) -> list[GenerationConfig]:
        """Return the samplings to choose guidance from; a sampler without MaskGIT's noise adapts `grid`."""
        return grid.points(steps, mask_schedule)

    @abstractmethod
    def build(
        self, tokens: TokenShape, num_classes: int, generator: torch.Generator | None = None
    ) -> Generator:
        """Build a generator of `tokens` given one of `num_classes` labels, with weights from `generator`.

        If `generator` is None, seed 0 is used.
        """


class GeneratorRecord(TokenShape):
    """The record from which a saved generator is rebuilt.

    Attributes:
        model: the network.
        num_classes: number of classes.
    """

    model: GeneratorConfig
    num_classes: int = Field(ge=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.model.check(self.tokens)
        return self

    @property
    def tokens(self) -> TokenShape:
        """The tokens that it samples."""
        return TokenShape(**{name: getattr(self, name) for name in TokenShape.model_fields})


class Draws(Protocol):
    """Sources of random draws for a loss in a training step: `sftok.training.stages.base.Step`."""

    @property
    def generator(self) -> torch.Generator:
        """A CPU generator, identical in all processes: each draws for the whole batch and takes its share."""

    @property
    def world(self) -> World:
        """The processes that share the batch."""

    def uniform(self, shape: Sequence[int]) -> Tensor:
        """Uniform draws in [0, 1) of `shape`, whose first dimension counts this process's images."""


class Generator(Pretrained):
    """p(tokens | class), also without a class for guidance."""

    record_type: ClassVar[type[Config]] = GeneratorRecord

    def __init__(self, config: GeneratorConfig, tokens: TokenShape, num_classes: int) -> None:
        super().__init__()
        config.check(tokens)
        self.config = config
        self.tokens = tokens
        self.num_classes = num_classes

    @classmethod
    def from_config(cls, config: Any, generator: torch.Generator | None = None) -> Self:
        """Build a generator from a `GeneratorRecord`, with weights drawn from `generator` (None: seed 0).

        Raises:
            TypeError: the record belongs to a generator of another kind.
        """
        model = config.model.build(config.tokens, config.num_classes, generator)
        if not isinstance(model, cls):
            raise TypeError(f"the generator {config.model.reference!r} is not a {cls.__name__}")
        return model

    @property
    def record(self) -> GeneratorRecord:
        """The configuration, the tokens and the number of classes."""
        return GeneratorRecord(model=self.config, num_classes=self.num_classes, **dict(self.tokens))

    @property
    def null_class(self) -> int:
        """The label for no class, learned by class drop: one past the last class."""
        return self.num_classes

    def measure(self, tokens: Tensor) -> None:
        """Measure the latents `[n, N, D]` of many images before training; ids need no measurement."""

    @property
    def compiled(self) -> Iterable[nn.Module]:
        """The networks that `torch.compile` may compile: those without random draws."""
        return ()

    @abstractmethod
    def loss(
        self, tokens: Tensor, labels: Tensor, config: GeneratorLossConfig, draws: Draws
    ) -> dict[str, Tensor]:
        """Compute the quantity that training minimizes, as `loss`, and others to be logged.

        Args:
            tokens: tokens of the images, int64 `[B, K]` or float `[B, N, D]`.
            labels: int64 `[B]`, without null classes, which `drop_classes` inserts.
            config: settings; `GeneratorConfig.loss_settings` are used.
            draws: source of all draws.
        """

    @abstractmethod
    def sampling_steps(self, config: GenerationConfig) -> int:
        """Return the number of sequential forward passes per sample, not counting those of guidance."""

    @abstractmethod
    def sample(self, labels: Tensor, config: GenerationConfig, generator: torch.Generator) -> Tensor:
        """Sample the tokens of an image for each label.

        Args:
            labels: int64 `[B]`; `null_class` samples without a class.
            config: temperature, guidance and, if it is a choice, the number of steps.
            generator: source of every draw; its device is the model's.

        Returns:
            Ids, int64 `[B, K]`, or latents `[B, N, D]`.
        """

    def coordinates(self, config: GenerationConfig) -> dict[str, float]:
        """Return the coordinates of its numbers: columns of the results, such as `temperature`."""
        return {"temperature": config.temperature}

    def drop_classes(self, labels: Tensor, rate: float, draws: Draws) -> Tensor:
        """Replace each of the labels, int64 `[B]`, by the null class with probability `rate`."""
        dropped = to_device(draws.uniform(labels.shape), labels.device) < rate
        return labels.masked_fill(dropped, self.null_class)


def dropout_noise(draws: Draws, device: torch.device) -> torch.Generator:
    """Return this process's source of dropout, the only draws that depend on the number of processes."""
    seeds = torch.randint(2**63 - 1, (draws.world.size,), generator=draws.generator)
    return torch.Generator(device).manual_seed(int(seeds[draws.world.rank]))
