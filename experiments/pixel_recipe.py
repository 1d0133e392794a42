"""Configuration of a tokenizer trained on pixels."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from sftok.config import Config
from sftok.features.base import FeaturesConfig
from sftok.models.autoencoders.base import AutoencoderConfig
from sftok.models.autoencoders.taming import TamingConfig
from sftok.quantizers.base import QuantizerConfig
from sftok.quantizers.projected import ProjectedConfig
from sftok.quantizers.vq import VQConfig
from sftok.training.loop import TrainingConfig
from sftok.training.semantic import SemanticConfig


class CodebookRecipe(Config):
    """A frozen codebook of k-means centers of patch features, equally many for each class (VQGAN-LC)."""

    features: FeaturesConfig
    images_per_class: int = Field(default=1300, ge=1)
    """The first images of each class; 1300 covers all of ImageNet's."""
    seed: int = 0


class PixelRecipe(Config):
    """A tokenizer trained on pixels in one stage, without a teacher: the 2D systems of Table 1.

    Steps and batch size equal the teacher's, so that the rows of a table differ only in their parts. The
    defaults are LlamaGen's tokenizer.
    """

    autoencoder: AutoencoderConfig = TamingConfig()
    quantizer: QuantizerConfig = VQConfig(codebook_size=16_384, initial_codes="unit")
    latent_dim: int = Field(default=8, ge=1)
    codebook: CodebookRecipe | None = None
    """The fixed codes of a `projected` quantizer."""
    semantic: SemanticConfig | None = None
    """Supervision of the latents by a frozen network (ImageFolder)."""
    steps: int = Field(default=300_000, ge=1)
    training: TrainingConfig = TrainingConfig(batch_size=256)

    @model_validator(mode="after")
    def _has_its_codes(self) -> Self:
        if isinstance(self.quantizer, ProjectedConfig) != (self.codebook is not None):
            raise ValueError(
                "codebook must be set if the quantizer is 'projected', and only then; "
                'for example to {"features": {"name": "clip"}}'
            )
        if self.semantic is not None:
            self.semantic.check(self.latent_dim)
        if self.quantizer.follows_batches and self.training.gradient_accumulation > 1:
            raise ValueError(
                f"the quantizer {self.quantizer.reference!r} changes with every batch, also within "
                "an update; set training.gradient_accumulation to 1"
            )
        parts: dict[str, Any] = {
            "autoencoder": self.autoencoder,
            "quantizer": self.quantizer,
            "semantic": self.semantic,
        }
        branches = {name: part.branches for name, part in parts.items() if hasattr(part, "branches")}
        if len(set(branches.values())) > 1:
            raise ValueError(f"branches differ: {branches}; set them to the same number")
        return self
