"""A tokenizer trained on pixels in one stage: the systems of Table 1 without a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from experiments.artifacts.classifier import Classifier
from experiments.artifacts.codebook import CODES, Codebook, open_features
from experiments.artifacts.context import MODEL, Context
from experiments.artifacts.tokenizer import TokenizerArtifact
from experiments.recipe import Recipe
from experiments.specs import Row
from sftok.config import ConfigError
from sftok.data.augmentation import AugmentationConfig
from sftok.generators.base import TokenShape
from sftok.tokenizers.pixel import PixelTokenizerConfig
from sftok.training.loop import TrainingConfig
from sftok.training.semantic import SemanticConfig

if TYPE_CHECKING:
    from sftok.tokenizers.pixel import PixelTokenizer
    from sftok.training.semantic import SemanticLoss


class TrainPixels(TokenizerArtifact, kind="pixels", parallel=True):
    """A trained `PixelTokenizer`."""

    subject: ClassVar[str] = "pixels"

    model: PixelTokenizerConfig
    training: TrainingConfig
    steps: int
    seed: int
    augmentation: AugmentationConfig = AugmentationConfig()
    codebook: Codebook | None = None
    """The fixed codes of the quantizer, if it has them."""
    semantic: SemanticConfig | None = None
    classifier: Classifier | None = None
    """The network that provides the semantic supervision, if it is trained here."""

    @classmethod
    def plan(cls, row: Row, recipe: Recipe, seed: int, data: Mapping[str, str]) -> TrainPixels:
        """The tokenizer of a row at one seed.

        Raises:
            ConfigError: the parts do not fit, or the row asks for a share of the ids.
        """
        if recipe.evaluation.kept_share < 1:
            raise ConfigError(
                f"{row.name}: a tokenizer trained on pixels is decoded from all of its ids; leave "
                "evaluation.kept_share at 1"
            )
        own = recipe.pixels
        if own.semantic is not None:
            own.semantic.features.channels(recipe.classifier.channels)  # refuses a level that does not exist
        in_domain = own.semantic is not None and own.semantic.features.in_domain
        return cls.planned(
            recipe,
            data,
            f"{row.name}, seed {seed}",
            model=recipe.pixel_tokenizer_config(),
            training=own.training,
            steps=own.steps,
            seed=seed,
            augmentation=recipe.views,
            codebook=Codebook.plan(recipe, own.codebook, data) if own.codebook else None,
            semantic=own.semantic,
            classifier=Classifier.plan(recipe, data) if in_domain else None,
        )

    @property
    def num_tokens(self) -> int:
        """Number of ids per image, K."""
        return self.model.num_tokens

    @property
    def vocabulary(self) -> int:
        """Number of different ids; 0 for continuous latents."""
        return self.model.codebook_size

    @property
    def shape(self) -> TokenShape:
        """The shape of its ids or latents, which a generator learns."""
        if self.model.quantizer.continuous:
            return TokenShape(num_tokens=self.num_tokens, latent_dim=self.model.latent_dim)
        return super().shape

    @property
    def on_grid(self) -> bool:
        """False for 1D tokens and for several ids or scales per place."""
        autoencoder = self.model.autoencoder
        return autoencoder.on_grid and self.num_tokens == autoencoder.num_latents(self.model.image_size)

    def open(self, context: Context, kept_tokens: int | None = None) -> PixelTokenizer:
        """Load the finished tokenizer, frozen; it is always decoded from all ids."""
        from sftok.tokenizers.pixel import PixelTokenizer

        return PixelTokenizer.from_pretrained(context.folder_of(self)).requires_grad_(False)

    def make(self, context: Context) -> dict[str, Any]:
        """Train encoder, quantizer and decoder together."""
        from experiments.artifacts.training import train_model
        from sftok.io.weights import content_hash, load_tensors
        from sftok.randomness import generator
        from sftok.tokenizers.pixel import PixelTokenizer
        from sftok.training.stages.pixels import PixelStage

        network: Any = PixelTokenizer(self.model, generator(self.seed, "initialisation"))
        if self.codebook is not None:
            codes, _ = load_tensors(context.folder_of(self.codebook) / MODEL)
            network.quantizer.load_codebook(codes[CODES])
        stage = PixelStage(network, self._semantic_loss(context))
        result = train_model(context, self, stage, network, network.record, context.load_data("train"))
        if stage.semantic is not None and context.world.is_first:
            # The key holds only the network's name, so that a machine without the file can read the store.
            network = stage.semantic.features.network.module
            result["networks"] = {"semantic": content_hash(network.state_dict())}
        return result

    def _semantic_loss(self, context: Context) -> SemanticLoss | None:
        from sftok.randomness import generator
        from sftok.training.semantic import SemanticLoss

        if self.semantic is None:
            return None
        features = open_features(context, self.semantic.features, self.classifier)
        noise = generator(self.seed, "semantic")
        return SemanticLoss(self.semantic, features, self.model.latent_dim, noise)
