"""The teacher, a 2D tokenizer whose codes the decoder learns to predict: trained here or given as weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from experiments.artifacts.base import Artifact
from experiments.artifacts.context import Context
from experiments.artifacts.released import copy_weights
from experiments.artifacts.tokenizer import TokenizerArtifact
from experiments.recipe import Recipe
from sftok.config import ConfigError
from sftok.data.augmentation import AugmentationConfig
from sftok.models.base import BackboneConfig
from sftok.training.loop import TrainingConfig

if TYPE_CHECKING:
    from sftok.models.maskgit_vqgan import MaskGITVQGAN

WEIGHTS = "teacher"
"""Name under which the data fingerprints hold the fingerprint of given weights."""


class Teacher(TokenizerArtifact, kind="teacher", parallel=True):
    """A MaskGIT-VQGAN."""

    subject: ClassVar[str] = "teacher"
    not_in_key: ClassVar[frozenset[str]] = Artifact.not_in_key | {"origin"}

    image_size: int
    backbone: BackboneConfig
    training: TrainingConfig | None = None
    """None for given weights."""
    steps: int = 0
    seed: int = 0
    augmentation: AugmentationConfig = AugmentationConfig()
    origin: str | None = None
    """Location of given weights, whose hash is in `data`."""

    @classmethod
    def plan(
        cls, recipe: Recipe, data: Mapping[str, str], label: str = "teacher", given: bool = True
    ) -> Teacher:
        """The teacher of a recipe, shared by all seeds; with `given=False` it is always trained."""
        own, size = recipe.teacher, recipe.data.image_size
        if given and own.checkpoint is not None:
            return cls.planned(
                recipe, data, label, WEIGHTS, image_size=size, backbone=own.backbone, origin=own.checkpoint
            )
        fields = {name: value for name, value in own if name != "checkpoint"}
        return cls.planned(recipe, data, label, image_size=size, augmentation=recipe.views, **fields)

    @property
    def units(self) -> int:
        """Training steps, or 1 for given weights."""
        return max(1, self.steps)

    @property
    def network(self) -> BackboneConfig:
        """Its encoder, quantizer and pixel decoder."""
        return self.backbone

    @property
    def num_tokens(self) -> int:
        """Number of codes per image."""
        return self.backbone.num_codes(self.image_size)

    @property
    def vocabulary(self) -> int:
        """Number of different codes."""
        return self.backbone.codebook_size

    @property
    def on_grid(self) -> bool:
        """Always True: each code stands for a square of the image."""
        return True

    def open(self, context: Context, kept_tokens: int | None = None) -> MaskGITVQGAN:
        """Load the finished teacher, frozen; it is always decoded from all codes."""
        from sftok.models.maskgit_vqgan import MaskGITVQGAN

        return MaskGITVQGAN.from_pretrained(context.folder_of(self)).requires_grad_(False)

    def make(self, context: Context) -> dict[str, Any]:
        """Train the teacher, or copy the given weights under this package's names.

        Raises:
            CheckpointError: the given weights have changed since the run was planned.
        """
        return copy_weights(context, self.origin, self.data[WEIGHTS]) if self.origin else self._train(context)

    def _train(self, context: Context) -> dict[str, Any]:
        from experiments.artifacts.training import train_model
        from sftok.models.maskgit_vqgan import MaskGITVQGAN
        from sftok.randomness import generator
        from sftok.training.stages.teacher import TeacherStage

        network = MaskGITVQGAN(self.backbone, self.image_size, generator(self.seed, "initialisation"))
        images = context.load_data("train")
        return train_model(context, self, TeacherStage(network), network, network.record, images)


def given_weights(recipe: Recipe) -> Mapping[str, str]:
    """The fingerprint of the weights at `teacher.checkpoint`; empty if the teacher is trained.

    Raises:
        CheckpointError: the weights cannot be found, or are damaged.
        ConfigError: they are not a teacher's, or their sizes differ from the recipe's.
    """
    checkpoint = recipe.teacher.checkpoint
    if checkpoint is None:
        return {}
    from sftok.models.maskgit_vqgan import MaskGITVQGAN
    from sftok.tokenizers.hub import identity, open_tokenizer

    given = open_tokenizer(checkpoint)
    if not isinstance(given, MaskGITVQGAN):
        raise ConfigError(
            f"teacher.checkpoint = {checkpoint}: a {given.architecture}, which has no codes of 2D positions"
        )
    wanted = {"image_size": recipe.data.image_size, **recipe.teacher.backbone.model_dump()}
    found = {"image_size": given.image_size, **given.record.backbone.model_dump()}
    for name, value in wanted.items():
        if found.get(name) != value:
            raise ConfigError(
                f"teacher.checkpoint = {checkpoint}: its {name} is {found.get(name)}, the recipe's is {value}"
            )
    return {WEIGHTS: identity(given)}
