"""A generator of a tokenizer's tokens or of the teacher's codes (Section 3.3, Table 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from experiments.artifacts.base import Artifact
from experiments.artifacts.codes import Codes
from experiments.artifacts.context import Context
from experiments.artifacts.tokens import Tokens
from sftok.data.augmentation import AugmentationConfig
from sftok.generators.base import GeneratorConfig, GeneratorLossConfig, TokenShape
from sftok.training.loop import TrainingConfig

if TYPE_CHECKING:
    from sftok.generators.base import Generator


MEASURED_IMAGES = 10_000
"""Number of training images used to estimate the standard deviation of the latents."""


class TrainGenerator(Artifact, kind="generator", parallel=True):
    """A trained generator."""

    model: GeneratorConfig
    num_tokens: int
    vocabulary: int | None
    latent_dim: int | None = None
    """Channels of a continuous token; None for discrete tokens."""
    loss: GeneratorLossConfig
    training: TrainingConfig
    steps: int
    seed: int
    augmentation: AugmentationConfig = AugmentationConfig()
    tokens: Codes | Tokens

    @property
    def shape(self) -> TokenShape:
        """The shape of the tokens it generates."""
        return TokenShape(num_tokens=self.num_tokens, vocabulary=self.vocabulary, latent_dim=self.latent_dim)

    def make(self, context: Context) -> dict[str, Any]:
        """Train the generator on the tokens of the training images."""
        from experiments.artifacts.training import train_model
        from sftok.data.tokens import TokenCache
        from sftok.data.without_pixels import WithoutPixels
        from sftok.randomness import generator
        from sftok.training.stages.generator import GeneratorStage

        images = context.load_data("train")
        noise = generator(self.seed, "initialisation")
        network = self.model.build(self.shape, images.num_classes, noise)
        tokens = TokenCache(context.folder_of(self.tokens), len(images), self.num_tokens)
        if self.latent_dim is not None:
            network.measure(tokens.spread(MEASURED_IMAGES))
        stage = GeneratorStage(network, tokens, self.loss)
        return train_model(context, self, stage, network, network.record, WithoutPixels(images))


def load_generator(context: Context, generator: TrainGenerator) -> Generator:
    """Load a finished generator, frozen."""
    from sftok.generators.hub import open_generator

    return open_generator(context.folder_of(generator)).requires_grad_(False)
