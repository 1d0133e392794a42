"""The resolved configuration of one row: everything that determines its numbers.

The defaults are the paper profile: SFTok-B at 256x256, Table 6. A profile overrides them, a spec's row
overrides the profile, and `--set` overrides both. Keys are dotted: `stage2.context.replacement_ratio`.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from experiments.pixel_recipe import PixelRecipe
from sftok.analysis.base import AnalysisConfig
from sftok.analysis.contexts import ContextsConfig
from sftok.analysis.steps import StepsConfig
from sftok.calibration.report import CalibrationConfig
from sftok.components import Overlay, overlay
from sftok.config import Config, ConfigError, choices_hint, explain, flat
from sftok.data import AugmentationConfig, DataConfig
from sftok.decoding.guidance import GenerationConfig
from sftok.decoding.guidance_grid import GuidanceGrid
from sftok.device import DeviceName
from sftok.evaluation.config import EvaluationConfig, ExtractorConfig, GenerationEvaluationConfig
from sftok.generators.base import GeneratorConfig, GeneratorLossConfig
from sftok.generators.maskgit import MaskGITConfig
from sftok.losses.lpips import LpipsVGGConfig
from sftok.losses.perceptual import PerceptualConfig
from sftok.metrics.base import MetricConfig
from sftok.models.base import BackboneConfig
from sftok.models.dino import DinoDiscriminatorConfig
from sftok.models.discriminator import DiscriminatorConfig
from sftok.models.maskgit_vqgan import VQGANConfig
from sftok.tokenizers.pixel import PixelTokenizerConfig
from sftok.tokenizers.sftok import LatentTokenizerConfig, SFTokConfig
from sftok.training.compiling import CompileMode
from sftok.training.loop import TrainingConfig
from sftok.training.optimizer import OptimizerConfig
from sftok.training.stages.fine_tuning import FineTuningConfig
from sftok.training.stages.tokenizer import AlignmentConfig, TokenizerLossConfig


class TeacherRecipe(Config):
    """The MaskGIT-VQGAN and its training; all rows and seeds share one teacher, as in the paper."""

    checkpoint: str | None = Field(default=None, min_length=1)
    """Weights of a trained teacher (a file, folder or hub id), such as the released one. If given, no teacher
    is trained, and the sizes must match the weights."""
    backbone: BackboneConfig = VQGANConfig()
    seed: int = 0
    steps: int = Field(default=300_000, ge=1)
    training: TrainingConfig = TrainingConfig(batch_size=256)


class ClassifierRecipe(Config):
    """The in-domain classifier, whose features and logits serve as a feature space for rFID and IS."""

    channels: tuple[int, ...] = Field(default=(16, 32, 64, 128), min_length=1)
    seed: int = 0
    steps: int = Field(default=1500, ge=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    training: TrainingConfig = TrainingConfig(batch_size=256)


class JudgesRecipe(Config):
    """Training of the other feature spaces that learn from the training images."""

    seed: int = 1
    """Differs from the classifier's."""
    steps: int = Field(default=1500, ge=1)
    training: TrainingConfig = TrainingConfig(batch_size=256)


class WarmUpRecipe(Config):
    """Stage 1: everything is masked, for `steps` of the tokenizer's steps.

    `all` makes a single-step tokenizer (TiTok), which never sees a visible position.
    """

    steps: Annotated[int, Field(ge=0)] | Literal["all"] = 200_000
    training: TrainingConfig = TrainingConfig()


class AlignmentRecipe(AlignmentConfig):
    """Stage 2, for the rest of the tokenizer's steps."""

    training: TrainingConfig = TrainingConfig()


class FineTuningRecipe(FineTuningConfig):
    """Stage 3: fine-tuning of both decoders towards pixels."""

    steps: int = Field(default=1_000_000, ge=1)
    perceptual: PerceptualConfig = LpipsVGGConfig()
    discriminator: DiscriminatorConfig = DinoDiscriminatorConfig()
    training: TrainingConfig = TrainingConfig(
        batch_size=64, gradient_accumulation=2, optimizer=OptimizerConfig(beta2=0.999)
    )

    @model_validator(mode="after")
    def _meets_its_discriminator(self) -> Self:
        if self.discriminator_start >= self.steps:
            raise ValueError(
                f"discriminator_start {self.discriminator_start} is not below steps {self.steps}: "
                "the discriminator would never be used"
            )
        return self


class SplitEvaluation(EvaluationConfig):
    """The evaluation protocol and the split it reads."""

    split: Literal["validation", "test"] = "test"


class EvaluationRecipe(SplitEvaluation):
    """How a row is measured, and which feature space its verdicts use."""

    primary_extractor: str = "inception-v3-compat"
    """The feature space of the headline verdicts: the name or label of one of `extractors`."""
    kept_share: float = Field(default=1.0, gt=0, le=1)
    """The share of the latent tokens to decode, starting with the first; for tokenizers of any length."""

    @model_validator(mode="after")
    def _measures_in_its_primary_space(self) -> Self:
        if self.primary_extractor not in self._by_name:
            raise ValueError(
                f"primary_extractor {self.primary_extractor!r} is not among extractors, so no claim could be "
                f"judged; {choices_hint(self.primary_extractor, self._by_name)}"
            )
        return self

    @property
    def protocol(self) -> SplitEvaluation:
        """The settings that determine the numbers of an evaluation."""
        return SplitEvaluation.model_validate(
            {name: getattr(self, name) for name in SplitEvaluation.model_fields}
        )

    @property
    def primary(self) -> ExtractorConfig:
        """The extractor of the headline verdicts."""
        return self._by_name[self.primary_extractor]

    @property
    def _by_name(self) -> dict[str, ExtractorConfig]:
        return {name: each for each in reversed(self.extractors) for name in (each.reference, each.label)}


class GeneratorRecipe(Config):
    """The generator and its training; the rest of its shape follows from the ids and classes.

    The paper says "as MaskGIT" (Sections 3.3, 4.3) and gives no value but the 8 steps: the defaults here and
    in `GenerationRecipe` are the release's (see docs/deviations.md).
    """

    model: GeneratorConfig = MaskGITConfig(dropout=0.1)
    loss: GeneratorLossConfig = GeneratorLossConfig()
    steps: int = Field(default=1_000_000, ge=1)
    training: TrainingConfig = TrainingConfig(
        batch_size=2048, optimizer=OptimizerConfig(learning_rate=2e-4, beta2=0.96, weight_decay=0.03)
    )

    @model_validator(mode="after")
    def _reads_its_loss(self) -> Self:
        self.model.check_loss(self.loss)
        return self


class GenerationRecipe(Config):
    """How images are generated and measured; feature spaces, precision and seed come from the evaluation."""

    steps: int = Field(default=8, ge=1)
    """Sampling steps of the generator."""
    mask_schedule: str = "arccos"
    decoding_steps: int = Field(default=8, ge=1)
    """Decoding steps of the tokenizer; a single-step tokenizer takes one, and the teacher has none."""
    metrics: tuple[MetricConfig, ...] = GenerationEvaluationConfig().metrics
    grid: GuidanceGrid = GuidanceGrid()
    """The grid from which guidance and temperature are chosen, the same for all rows."""
    choice_split: Literal["validation", "train"] = "train"
    """The images that the choice is made on; the test images are not allowed."""
    choice_images: int = Field(default=10_000, ge=2)
    """Number of samples at each point of the grid."""
    example_classes: int = Field(default=10, ge=1)
    examples_per_class: int = Field(default=8, ge=1)

    @model_validator(mode="after")
    def _can_be_sampled(self) -> Self:
        GenerationConfig(steps=self.steps, mask_schedule=self.mask_schedule)
        return self


class Recipe(Config):
    """The resolved configuration of one row."""

    device: DeviceName = "cuda"
    """Where everything is computed; a missing device is an error. Not part of any artifact's key."""
    tf32: bool = True
    """Whether a GPU may compute float32 products in TF32 (Table 6). Not part of any artifact's key."""
    compile: CompileMode = "none"
    """How training uses `torch.compile`, which rounds differently. Not part of any artifact's key."""
    data: DataConfig = DataConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    """Augmentation of the training images; evaluations use center crops. Not part of a key when inactive."""
    teacher: TeacherRecipe = TeacherRecipe()
    classifier: ClassifierRecipe = ClassifierRecipe()
    judges: JudgesRecipe = JudgesRecipe()
    calibration: CalibrationConfig = CalibrationConfig()
    """How the feature spaces are calibrated."""
    tokenizer: LatentTokenizerConfig = LatentTokenizerConfig()
    loss: TokenizerLossConfig = TokenizerLossConfig()
    tokenizer_steps: int = Field(default=1_000_000, ge=1)
    """Steps of stages 1 and 2 together, equal for every row of a table (paper 4.4)."""
    stage1: WarmUpRecipe = WarmUpRecipe()
    stage2: AlignmentRecipe = AlignmentRecipe()
    stage3: FineTuningRecipe = FineTuningRecipe()
    fine_tuned: bool = False
    """Whether stage 3 follows; Tables 3, 4 and Figure 8 are about the first two stages."""
    tail_drop: bool = False
    """Whether training drops a random tail of the latent tokens (One-D-Piece), for a variable length."""
    pixels: PixelRecipe = PixelRecipe()
    evaluation: EvaluationRecipe = EvaluationRecipe()
    generator: GeneratorRecipe = GeneratorRecipe()
    generation: GenerationRecipe = GenerationRecipe()
    analysis: dict[str, AnalysisConfig] = {"steps": StepsConfig(), "contexts": ContextsConfig()}
    """How Figure 4a and Appendix C are measured; split, temperature and schedule come from the evaluation."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.warm_up_steps > self.tokenizer_steps:
            raise ValueError(
                f"stage1.steps {self.stage1.steps} exceeds tokenizer_steps {self.tokenizer_steps}"
            )
        quantizer, name = self.tokenizer.quantizer, self.tokenizer.quantizer.reference
        trainings = {"stage1": self.stage1.training, "stage2": self.stage2.training}
        for stage, training in trainings.items():
            if quantizer.follows_batches and training.gradient_accumulation > 1:
                raise ValueError(
                    f"the quantizer {name!r} changes with every batch, also within an update; "
                    f"set {stage}.training.gradient_accumulation to 1"
                )
        if self.tail_drop and quantizer.zero_is_a_code:
            raise ValueError(
                f"tail_drop sets missing tokens to zero, a code of the quantizer {name!r}; choose another one"
            )
        try:
            self.tokenizer_config()
        except ValidationError as error:
            raise ValueError(explain(error)) from None
        return self

    @property
    def warm_up_steps(self) -> int:
        """Steps of stage 1."""
        return self.tokenizer_steps if self.stage1.steps == "all" else self.stage1.steps

    @property
    def alignment_steps(self) -> int:
        """Steps of stage 2."""
        return self.tokenizer_steps - self.warm_up_steps

    @property
    def single_step(self) -> bool:
        """Whether the tokenizer only learns to predict all codes at once."""
        return self.alignment_steps == 0

    @property
    def views(self) -> AugmentationConfig:
        """The augmentation; settings without effect are reset, so that they do not change keys."""
        return self.augmentation if self.augmentation.active else AugmentationConfig()

    @property
    def codes_are_cached(self) -> bool:
        """Whether the teacher's codes are cached, one set per view; impossible with unlimited views."""
        return not self.augmentation.active or self.augmentation.views is not None

    @property
    def kept_tokens(self) -> int:
        """Number of latent tokens that the evaluation decodes: `kept_share` of them, at least one."""
        return max(1, round(self.evaluation.kept_share * self.tokenizer.num_latent_tokens))

    def tokenizer_config(self) -> SFTokConfig:
        """The tokenizer's model: its own parts, the image size and the teacher's pixel decoder."""
        return SFTokConfig.model_validate(
            {
                **dict(self.tokenizer),
                "image_size": self.data.image_size,
                "pixel_decoder": self.teacher.backbone,
            }
        )

    def pixel_tokenizer_config(self) -> PixelTokenizerConfig:
        """The model of a tokenizer trained on pixels.

        Raises:
            ConfigError: its parts do not fit each other or the images.
        """
        own = self.pixels
        return PixelTokenizerConfig.build(
            {
                "image_size": self.data.image_size,
                "autoencoder": own.autoencoder,
                "quantizer": own.quantizer,
                "latent_dim": own.latent_dim,
            }
        )


def resolve(*overlays: Overlay) -> Recipe:
    """The defaults with `overlays` applied; later ones take precedence.

    Raises:
        ConfigError: a key is unknown, or a value is out of range.
    """
    values: dict[str, Any] = Recipe.model_construct().model_dump()
    for changes in overlays:
        _refuse_infinite(changes)
        values = overlay(values, changes)
    return Recipe.build(values)


def _refuse_infinite(changes: Overlay) -> None:
    for key, value in flat(changes).items():
        for number in value if isinstance(value, list | tuple) else [value]:
            if isinstance(number, float) and not math.isfinite(number):
                raise ConfigError(f"{key} = {number}: not a finite number")
