"""A training stage of a tokenizer: warm-up, alignment or fine-tuning (Sections 3.2 and 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

from experiments.artifacts.codes import Codes
from experiments.artifacts.context import Context
from experiments.artifacts.teacher import Teacher
from experiments.artifacts.tokenizer import TokenizerArtifact
from experiments.recipe import Recipe
from experiments.specs import Row
from sftok.config import Config
from sftok.data.augmentation import AugmentationConfig
from sftok.decoding.schedule import DecodingConfig
from sftok.losses.perceptual import PerceptualConfig
from sftok.models.discriminator import DiscriminatorConfig
from sftok.tokenizers.sftok import SFTokConfig
from sftok.training.loop import TrainingConfig
from sftok.training.stages.fine_tuning import FineTuningConfig
from sftok.training.stages.tokenizer import AlignmentConfig, TokenizerLossConfig

if TYPE_CHECKING:
    from sftok.data.base import ImageSet
    from sftok.tokenizers.sftok import SFTok
    from sftok.training.stages.base import Stage

_SINGLE_STEP = DecodingConfig(steps=1, temperature=0.0)
"""Decoding of a tokenizer whose decoder was trained without visible codes."""


class WarmUp(Config):
    """Stage 1: every position is masked."""

    name: Literal["warm-up"] = "warm-up"
    loss: TokenizerLossConfig


class Alignment(Config):
    """Stage 2: some positions are visible and show codes of the context."""

    name: Literal["alignment"] = "alignment"
    loss: TokenizerLossConfig
    alignment: AlignmentConfig


class FineTuning(Config):
    """Stage 3: both decoders are trained towards pixels, for multi-step or single-step decoding."""

    name: Literal["fine-tuning", "single-step-fine-tuning"]
    fine_tuning: FineTuningConfig
    perceptual: PerceptualConfig
    discriminator: DiscriminatorConfig


class TrainStage(TokenizerArtifact, kind="stage", parallel=True):
    """A tokenizer after one stage of its training, complete with its pixel decoder."""

    model: SFTokConfig
    objective: WarmUp | Alignment | FineTuning
    training: TrainingConfig
    steps: int
    seed: int
    tail_drop: bool = False
    augmentation: AugmentationConfig = AugmentationConfig()
    teacher: Teacher | None = None
    codes: Codes | None = None
    """None if the teacher encodes the images at every step."""
    start: TrainStage | None = None
    """The previous stage."""

    @classmethod
    def plan(
        cls, row: Row, recipe: Recipe, seed: int, teacher: Teacher, data: Mapping[str, str]
    ) -> list[TrainStage]:
        """The stages of the recipe in order, each starting from the previous one."""
        stages: list[TrainStage] = []
        common = {
            "model": recipe.tokenizer_config(),
            "seed": seed,
            "tail_drop": recipe.tail_drop,
            "augmentation": recipe.views,
        }

        def add(label: str, objective: Config, training: TrainingConfig, steps: int, **inputs: Any) -> None:
            start = stages[-1] if stages else None
            fields = {"objective": objective, "training": training, "steps": steps, "start": start}
            stages.append(cls.planned(recipe, data, f"{label}, seed {seed}", **fields, **common, **inputs))

        codes = None
        if recipe.codes_are_cached:
            shown = recipe.views
            codes = Codes.planned(recipe, data, "teacher codes", teacher=teacher, augmentation=shown)
        first = {"teacher": teacher, "codes": codes}
        if recipe.warm_up_steps:
            # Rows without variants share their warm-up, so it is not named after one of them.
            shared = f"warm-up of {row.name}" if row.variants else "warm-up"
            label = row.name if recipe.single_step else shared
            add(label, WarmUp(loss=recipe.loss), recipe.stage1.training, recipe.warm_up_steps, **first)
        if recipe.alignment_steps:
            alignment = AlignmentConfig.model_validate(recipe.stage2.model_dump(exclude={"training"}))
            objective = Alignment(loss=recipe.loss, alignment=alignment)
            add(row.name, objective, recipe.stage2.training, recipe.alignment_steps, **first)
        if recipe.fine_tuned:
            stage3 = recipe.stage3
            add(f"fine-tuning of {row.name}", _fine_tuning(recipe), stage3.training, stage3.steps)
        return stages

    @property
    def num_tokens(self) -> int:
        """Ids of an image."""
        return self.model.num_latent_tokens

    @property
    def vocabulary(self) -> int:
        """The number of different ids."""
        return self.model.quantizer.codebook_size

    @property
    def stage(self) -> str:
        """`warm-up`, `alignment`, `fine-tuning` or `single-step-fine-tuning`."""
        return self.objective.name

    def open(self, context: Context, kept_tokens: int | None = None) -> SFTok:
        """Load the finished tokenizer, frozen; it decodes only its first `kept_tokens`, if given."""
        from sftok.quantizers.tail_drop import FirstTokens
        from sftok.tokenizers.sftok import SFTok

        tokenizer = SFTok.from_pretrained(context.folder_of(self)).requires_grad_(False)
        if kept_tokens is not None:
            tokenizer.quantizer = FirstTokens(tokenizer.quantizer, kept_tokens)
        return tokenizer

    def make(self, context: Context) -> dict[str, Any]:
        """Train the stage."""
        from experiments.artifacts.training import train_model
        from sftok.io.weights import content_hash
        from sftok.training.stages.fine_tuning import FineTuningStage

        tokenizer = self._starting_tokenizer(context)
        images = context.load_data("train")
        stage = self._build(context, tokenizer, images)
        result = train_model(context, self, stage, tokenizer, tokenizer.record, images)
        if isinstance(stage, FineTuningStage) and context.world.is_first:
            # The key holds only the networks' names, so that a machine without the files can read the store.
            networks = stage.networks.items()
            result["networks"] = {loss: content_hash(each.module.state_dict()) for loss, each in networks}
        return result

    def _starting_tokenizer(self, context: Context) -> SFTok:
        """The result of the previous stage, or fresh weights around the teacher's pixel decoder."""
        from sftok.randomness import generator
        from sftok.tokenizers.sftok import SFTok

        if self.start is not None:
            return SFTok.from_pretrained(context.folder_of(self.start))
        tokenizer = SFTok.from_config(self.model, generator(self.seed, "initialisation"))
        teacher = cast(Teacher, self.teacher).open(context)
        tokenizer.pixel_decoder.load_state_dict(teacher.pixel_decoder.state_dict())
        return tokenizer

    def _build(self, context: Context, tokenizer: SFTok, images: ImageSet) -> Stage:
        """Build the stage of this objective, and set how its tokenizer is decoded from now on."""
        from sftok.quantizers.tail_drop import TailDrop
        from sftok.randomness import generator
        from sftok.training.stages import fine_tuning as stage_3
        from sftok.training.stages.tokenizer import AlignmentStage, WarmUpStage

        quantizer: Any = TailDrop(tokenizer.quantizer) if self.tail_drop else tokenizer.quantizer
        objective = self.objective
        if isinstance(objective, FineTuning):
            single = objective.name == "single-step-fine-tuning"
            # Stage 3 trains the soft lookup, so its tokenizer is decoded with it.
            decoding = _SINGLE_STEP if single else DecodingConfig()
            tokenizer.decoding = decoding.model_copy(update={"final_lookup": "soft"})
            kind = stage_3.SingleStepFineTuningStage if single else stage_3.FineTuningStage
            return kind(
                tokenizer.encoder,
                quantizer,
                tokenizer.decoder,
                tokenizer.pixel_decoder,
                objective.perceptual.build(),
                objective.discriminator.build(generator(self.seed, "discriminator")),
                objective.fine_tuning,
            )
        parts = (tokenizer.encoder, quantizer, tokenizer.decoder, self._teacher_codes(context, images))
        if isinstance(objective, WarmUp):
            tokenizer.decoding = _SINGLE_STEP
            return WarmUpStage(*parts, objective.loss)
        tokenizer.decoding = DecodingConfig()
        return AlignmentStage(*parts, objective.loss, objective.alignment)

    def _teacher_codes(self, context: Context, images: ImageSet) -> Any:
        """The codes of the same views that the encoder sees, cached or computed at every step."""
        from experiments.artifacts.training import views
        from sftok.data.tokens import TokenCache, TokensOnTheFly

        if self.codes is None:
            teacher = cast(Teacher, self.teacher).open(context)
            return TokensOnTheFly(teacher.to(context.open_device(self)))
        num_codes = self.model.pixel_decoder.num_codes(self.model.image_size)
        return TokenCache(context.folder_of(self.codes), len(images), num_codes, views(self.augmentation))


def _fine_tuning(recipe: Recipe) -> FineTuning:
    own = recipe.stage3
    losses = own.model_dump(exclude={"training", "steps", "perceptual", "discriminator"})
    return FineTuning(
        name="single-step-fine-tuning" if recipe.single_step else "fine-tuning",
        fine_tuning=FineTuningConfig.model_validate(losses),
        perceptual=own.perceptual,
        discriminator=own.discriminator,
    )
