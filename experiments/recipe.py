"""The resolved configuration of one row: everything that decides its numbers.

The defaults are the paper profile: SFTok-B at 256x256, Table 6. A profile overlays them, a spec's row
overlays the profile, `--set` overlays both. Keys are dotted: `stage2.replacement_ratio`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from experiments.generation_recipe import GenerationRecipe, GeneratorRecipe
from sftok.analysis.config import AnalysisConfig
from sftok.config import Config, ConfigError, choices_hint, explain
from sftok.data import AugmentationConfig, DataConfig
from sftok.device import DeviceName
from sftok.evaluation.config import EvaluationConfig, ExtractorConfig
from sftok.losses.perceptual import PerceptualConfig
from sftok.models.decoder import DecoderConfig
from sftok.models.discriminator import DinoDiscriminatorConfig, DiscriminatorConfig
from sftok.models.encoder import EncoderConfig
from sftok.models.tokenizer import SFTokConfig
from sftok.quantizers.optvq import OptVQConfig
from sftok.teacher.vqgan import VQGANConfig
from sftok.training.loop import TrainingConfig
from sftok.training.optimisation import OptimisationConfig
from sftok.training.stages.fine_tuning import FineTuningConfig
from sftok.training.stages.tokenizer import AlignmentConfig, TokenizerLossConfig

Overlay = Mapping[str, Any]
"""Values by dotted key."""


class TeacherRecipe(Config):
    """The MaskGIT-VQGAN and its training; one teacher serves all rows and seeds, as in the paper."""

    checkpoint: str | None = Field(default=None, min_length=1)
    """The weights of a teacher that is trained already (a file, folder or hub id), such as the released one;
    then nothing below is done, and the sizes must be its own."""
    hidden_channels: int = 128
    channel_multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    num_res_blocks: int = 2
    code_dim: int = 256
    codebook_size: int = 1024
    norm_groups: int = 32
    seed: int = 0
    steps: int = Field(default=300_000, ge=1)
    training: TrainingConfig = TrainingConfig(batch_size=256)


class ClassifierRecipe(Config):
    """The in-domain classifier, whose features and logits are a space for rFID and IS."""

    channels: tuple[int, ...] = Field(default=(16, 32, 64, 128), min_length=1)
    seed: int = 0
    steps: int = Field(default=1500, ge=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    training: TrainingConfig = TrainingConfig(batch_size=256)


class TransformerSize(Config):
    """Width, depth and heads of a ViT; the default is ViT-B."""

    width: int = Field(default=768, ge=1)
    depth: int = Field(default=12, ge=1)
    heads: int = Field(default=12, ge=1)


class TokenizerRecipe(Config):
    """The sizes of encoder, quantizer and decoder (paper 4.1, Table 6: SFTok-B)."""

    patch_size: int = Field(default=16, ge=1)
    num_latent_tokens: int = Field(default=64, ge=1)
    encoder: TransformerSize = TransformerSize()
    decoder: TransformerSize = TransformerSize()
    latent_layout: Literal["straight", "legacy"] = "straight"
    codebook_size: int = Field(default=8192, ge=2)
    token_dim: int = Field(default=32, ge=1)
    commitment_cost: float = Field(default=0.25, ge=0)
    use_l2_norm: bool = True
    sinkhorn_epsilon: float = Field(default=10.0, gt=0)
    sinkhorn_iterations: int = Field(default=5, ge=1)


class WarmUpRecipe(Config):
    """Stage 1: everything masked, for `steps` of the tokenizer's steps.

    `all` of them make a single-step tokenizer (TiTok): it never sees a visible position.
    """

    steps: Annotated[int, Field(ge=0)] | Literal["all"] = 200_000
    training: TrainingConfig = TrainingConfig()


class AlignmentRecipe(AlignmentConfig):
    """Stage 2, for the rest of the tokenizer's steps."""

    training: TrainingConfig = TrainingConfig()


class FineTuningRecipe(FineTuningConfig):
    """Stage 3: both decoders towards pixels."""

    steps: int = Field(default=1_000_000, ge=1)
    perceptual: PerceptualConfig = PerceptualConfig()
    discriminator: DiscriminatorConfig = DinoDiscriminatorConfig()
    training: TrainingConfig = TrainingConfig(
        batch_size=64, gradient_accumulation=2, optimisation=OptimisationConfig(beta2=0.999)
    )

    @model_validator(mode="after")
    def _meets_its_discriminator(self) -> Self:
        if self.discriminator_start >= self.steps:
            raise ValueError(
                f"discriminator_start {self.discriminator_start} is not below steps {self.steps}: "
                "the discriminator would never join"
            )
        return self


class SplitEvaluation(EvaluationConfig):
    """The evaluation protocol and the split it reads."""

    split: Literal["validation", "test"] = "test"


class EvaluationRecipe(SplitEvaluation):
    """How a row is measured, and which of its numbers counts."""

    primary_extractor: str = "inception-v3-compat"
    """The feature space of the headline verdicts: the name or the label of one of `extractors`."""
    kept_share: float = Field(default=1.0, gt=0, le=1)
    """The share of the latent tokens that is decoded, from the first on; for tokenizers of any length."""

    @model_validator(mode="after")
    def _measures_in_its_primary_space(self) -> Self:
        if self.primary_extractor not in self._by_name:
            raise ValueError(
                f"primary_extractor {self.primary_extractor!r} is not among extractors, so no claim could be "
                f"judged; {choices_hint(self.primary_extractor, self._by_name)}"
            )
        return self

    @property
    def primary(self) -> ExtractorConfig:
        """The extractor of the headline verdicts."""
        return self._by_name[self.primary_extractor]

    @property
    def _by_name(self) -> dict[str, ExtractorConfig]:
        return {name: each for each in reversed(self.extractors) for name in (each.name, each.label)}


class Recipe(Config):
    """One row, resolved."""

    device: DeviceName = "cuda"
    """Where everything is computed; what is missing is an error, never replaced. In no artifact's key."""
    tf32: bool = True
    """Whether a GPU may compute float32 products in TF32 (Table 6). In no artifact's key."""
    data: DataConfig = DataConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    """How training looks at its images; evaluations see the centre crops. In no key where it is inactive."""
    teacher: TeacherRecipe = TeacherRecipe()
    classifier: ClassifierRecipe = ClassifierRecipe()
    tokenizer: TokenizerRecipe = TokenizerRecipe()
    loss: TokenizerLossConfig = TokenizerLossConfig()
    tokenizer_steps: int = Field(default=1_000_000, ge=1)
    """Stages 1 and 2 together, the same for every row of a table: equal total steps (paper 4.4)."""
    stage1: WarmUpRecipe = WarmUpRecipe()
    stage2: AlignmentRecipe = AlignmentRecipe()
    stage3: FineTuningRecipe = FineTuningRecipe()
    fine_tuned: bool = False
    """Whether stage 3 follows; Tables 3, 4 and Figure 8 are about the first two stages."""
    tail_drop: bool = False
    """Whether training drops a random tail of the latent tokens (One-D-Piece): images of any length."""
    evaluation: EvaluationRecipe = EvaluationRecipe()
    generator: GeneratorRecipe = GeneratorRecipe()
    generation: GenerationRecipe = GenerationRecipe()
    analysis: AnalysisConfig = AnalysisConfig()
    """How Figure 4a and Appendix C are measured; split, temperature and schedule are the evaluation's."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.warm_up_steps > self.tokenizer_steps:
            raise ValueError(
                f"stage1.steps {self.stage1.steps} exceeds tokenizer_steps {self.tokenizer_steps}"
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
        """Whether the tokenizer only ever learns to predict everything at once."""
        return self.alignment_steps == 0

    @property
    def codes_are_cached(self) -> bool:
        """Whether the teacher's codes are kept, a set for each view; views without end have none to keep."""
        return not self.augmentation.active or self.augmentation.views is not None

    @property
    def kept_tokens(self) -> int:
        """The latent tokens that are decoded in the evaluation: a share of them, and at least one."""
        return max(1, round(self.evaluation.kept_share * self.tokenizer.num_latent_tokens))

    def teacher_config(self) -> VQGANConfig:
        """The teacher's model."""
        recipe = self.teacher
        return VQGANConfig(
            image_size=self.data.image_size,
            hidden_channels=recipe.hidden_channels,
            channel_multipliers=recipe.channel_multipliers,
            num_res_blocks=recipe.num_res_blocks,
            code_dim=recipe.code_dim,
            codebook_size=recipe.codebook_size,
            norm_groups=recipe.norm_groups,
        )

    def tokenizer_config(self) -> SFTokConfig:
        """The tokenizer's model, with every derived size computed."""
        recipe, teacher = self.tokenizer, self.teacher_config()
        return SFTokConfig(
            encoder=EncoderConfig(
                image_size=self.data.image_size,
                patch_size=recipe.patch_size,
                num_latent_tokens=recipe.num_latent_tokens,
                token_dim=recipe.token_dim,
                latent_layout=recipe.latent_layout,
                **recipe.encoder.model_dump(),
            ),
            quantizer=OptVQConfig(
                codebook_size=recipe.codebook_size,
                token_dim=recipe.token_dim,
                commitment_cost=recipe.commitment_cost,
                use_l2_norm=recipe.use_l2_norm,
                sinkhorn_epsilon=recipe.sinkhorn_epsilon,
                sinkhorn_iterations=recipe.sinkhorn_iterations,
            ),
            decoder=DecoderConfig(
                num_latent_tokens=recipe.num_latent_tokens,
                token_dim=recipe.token_dim,
                num_codes=teacher.num_codes,
                vocabulary=teacher.codebook_size,
                **recipe.decoder.model_dump(),
            ),
            pixel_decoder=teacher,
        )


def overlay(values: Mapping[str, Any], changes: Overlay) -> dict[str, Any]:
    """`values` (nested) with every dotted key of `changes` replaced; unknown keys are left for the record."""
    result = dict(values)
    for dotted, value in changes.items():
        head, _, rest = dotted.partition(".")
        if rest:
            nested = result.get(head)
            result[head] = overlay(nested if isinstance(nested, Mapping) else {}, {rest: value})
        else:
            result[head] = value
    return result


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested `values` by dotted key: the inverse of an overlay. An object without values stays one."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def resolve(*overlays: Overlay) -> Recipe:
    """The recipe of the defaults under `overlays`, the later the stronger.

    Raises:
        ConfigError: an unknown key, or a value out of range.
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
