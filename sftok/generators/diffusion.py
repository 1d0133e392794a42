"""Diffusion in the latents of a continuous tokenizer (LDM, arXiv 2112.10752): noise to latents in many steps.

Training adds noise of a random level to an image's latents and predicts it (DDPM); sampling removes it step
by step, without new noise (DDIM, eta 0). Guidance is that of the other generators, applied to predicted noise
instead of logits. Latents are divided by their standard deviation over the training images.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from sftok.decoding.guidance import GenerationConfig, guided
from sftok.decoding.guidance_grid import GuidanceGrid
from sftok.extras import require
from sftok.generators.base import Draws, Generator, GeneratorConfig, GeneratorLossConfig, TokenShape
from sftok.models.autoencoders.base import to_grid, to_sequence

if TYPE_CHECKING:
    from diffusers import DDIMScheduler


class DiffusionConfig(GeneratorConfig):
    """Settings shared by all diffusion generators; the defaults are LDM-4's.

    Attributes:
        noise_levels: number of noise levels; training draws from all of them, sampling uses a few.
        beta_start: variance added by the first level.
        beta_end: variance added by the last level; square roots are evenly spaced between the two.
        sampling_steps: number of DDIM steps, which replaces that of a `GenerationConfig`.
    """

    on_grid: ClassVar[bool] = True

    noise_levels: int = Field(default=1000, ge=2)
    beta_start: float = Field(default=0.0015, gt=0, lt=1)
    beta_end: float = Field(default=0.0195, gt=0, lt=1)
    sampling_steps: int = Field(default=250, ge=1)

    @model_validator(mode="after")
    def _has_a_schedule(self) -> Self:
        if self.beta_start >= self.beta_end:
            raise ValueError(f"beta_start {self.beta_start} is not below beta_end {self.beta_end}")
        if self.sampling_steps >= self.noise_levels:  # LDM's steps start one level up
            raise ValueError(
                f"sampling_steps {self.sampling_steps} is not below noise_levels {self.noise_levels}"
            )
        return self

    def check(self, tokens: TokenShape) -> None:
        """Reject ids, and latents that do not form a square grid.

        Raises:
            ValueError: the tokens are ids, or do not form a square grid.
        """
        if tokens.latent_dim is None:
            raise ValueError(
                f"the generator {self.reference!r} samples continuous latents, and this tokenizer has ids; "
                "choose a generator of ids, or a continuous quantizer"
            )
        if _side(tokens) ** 2 != tokens.num_tokens:
            raise ValueError(
                f"{tokens.num_tokens} latents do not form a square grid, which {self.reference!r} needs"
            )

    def check_weights(self) -> None:
        """Check that diffusers is installed; raises MissingLibraryError if not."""
        require("diffusers")

    def points(self, grid: GuidanceGrid, steps: int, mask_schedule: str) -> list[GenerationConfig]:
        """Return the guidance of `grid` at one temperature, since DDIM has none."""
        return grid.model_copy(update={"temperatures": (1.0,)}).points(steps, mask_schedule)

    def build(
        self, tokens: TokenShape, num_classes: int, generator: torch.Generator | None = None
    ) -> DiffusionGenerator:
        """Build a generator with weights drawn from `generator` (None: seed 0)."""
        return DiffusionGenerator(self, tokens, num_classes, generator)

    @abstractmethod
    def build_denoiser(
        self, side: int, latent_dim: int, num_classes: int, generator: torch.Generator | None
    ) -> nn.Module:
        """Build the network: latents `[B, D, h, w]`, levels `[B]` and labels `[B]` to noise `[B, D, h, w]`.

        Labels are 0 to `num_classes`, the last of which means no class.
        """

    def schedule(self) -> DDIMScheduler:
        """Return the noise schedule as sampled by LDM: DDIM ends at the first level, not at zero noise."""
        require("diffusers")
        from diffusers import DDIMScheduler

        return DDIMScheduler(
            num_train_timesteps=self.noise_levels,
            beta_start=self.beta_start,
            beta_end=self.beta_end,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        )


class DiffusionGenerator(Generator):
    """p(latents | class)."""

    architecture: ClassVar[str] = "diffusion-generator"

    config: DiffusionConfig
    deviation: Tensor
    """Standard deviation of the training images' latents; a scalar."""

    def __init__(
        self,
        config: DiffusionConfig,
        tokens: TokenShape,
        num_classes: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(config, tokens, num_classes)
        self.side, self.latent_dim = _side(tokens), tokens.latent_dim or 0
        self.denoiser = config.build_denoiser(self.side, self.latent_dim, num_classes, generator)
        self.register_buffer("deviation", torch.ones(()))

    def measure(self, tokens: Tensor) -> None:
        """Set the deviation to that of latents `[n, N, D]` of training images."""
        self.deviation.fill_(tokens.double().std().item())

    def loss(
        self, tokens: Tensor, labels: Tensor, config: GeneratorLossConfig, draws: Draws
    ) -> dict[str, Tensor]:
        """Return the squared error of the predicted noise, at a level of noise drawn for each image."""
        world, clean = draws.world, to_grid(tokens / self.deviation, self.side)
        images = world.size * len(clean)
        drawn = torch.randint(self.config.noise_levels, (images,), generator=draws.generator)
        levels = world.share(drawn).to(clean.device)
        noise = torch.randn(images, *clean.shape[1:], generator=draws.generator)
        noise = world.share(noise).to(clean.device)
        labels = self.drop_classes(labels, config.class_drop, draws)
        predicted = self.denoiser(self._schedule.add_noise(clean, noise, levels), levels, labels)
        return {"loss": F.mse_loss(predicted.float(), noise)}

    @cached_property
    def _schedule(self) -> DDIMScheduler:
        # Not in the constructor, which may run on the meta device.
        return self.config.schedule()

    def sampling_steps(self, config: GenerationConfig) -> int:
        """Return the number of DDIM steps, regardless of the steps configured for MaskGIT."""
        return self.config.sampling_steps

    @torch.no_grad()
    def sample(self, labels: Tensor, config: GenerationConfig, generator: torch.Generator) -> Tensor:
        """Sample latents, float32 `[B, N, D]`, by DDIM; only the initial noise is drawn.

        Arguments are those of `Generator.sample`; only the guidance of `config` is used.
        """
        config = config.model_copy(update={"steps": self.config.sampling_steps})
        # A new schedule, because it stores its steps, and several threads may sample at once.
        schedule = self.config.schedule()
        schedule.set_timesteps(config.steps)
        shape = (len(labels), self.latent_dim, self.side, self.side)
        latents = torch.randn(shape, generator=generator, device=generator.device)

        def noise_in(latents: Tensor, labels: Tensor) -> Tensor:
            return self.denoiser(latents, level.to(labels.device).expand(len(labels)), labels)

        predict = guided(noise_in, labels, self.null_class, config)
        for step, level in enumerate(schedule.timesteps):
            latents = schedule.step(predict(latents, step), int(level), latents).prev_sample
        return to_sequence(latents) * self.deviation

    def coordinates(self, config: GenerationConfig) -> dict[str, float]:
        """Return no coordinates, since there is no temperature."""
        return {}


def _side(tokens: TokenShape) -> int:
    return round(tokens.num_tokens**0.5)
