"""The choice of a generator's guidance and temperature, made on images other than those of its evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.artifacts.base import Artifact
from experiments.artifacts.classifier import Classifier
from experiments.artifacts.context import Context
from experiments.artifacts.evaluation import build_extractors
from experiments.artifacts.generator import TrainGenerator, load_generator
from experiments.artifacts.judge import Judge, trained_spaces
from experiments.artifacts.tokenizer import TokenizerArtifact
from experiments.recipe import Recipe
from sftok.decoding.guidance_grid import GuidanceGrid
from sftok.decoding.schedule import DecodingConfig
from sftok.evaluation.config import Precision
from sftok.evaluation.extractors.base import ExtractorConfig


class Guidance(Artifact, kind="guidance"):
    """gFID at every point of a grid, and the best point."""

    grid: GuidanceGrid
    steps: int
    """Number of sampling steps, T."""
    mask_schedule: str
    decoding: DecodingConfig | None
    """How ids are decoded; None for a tokenizer without decoding steps."""
    split: str
    extractor: ExtractorConfig
    num_images: int
    batch_size: int
    precision: Precision
    seed: int
    source: TokenizerArtifact
    generator: TrainGenerator
    classifier: Classifier | None = None
    judges: dict[str, Judge] = {}

    @classmethod
    def plan(
        cls,
        recipe: Recipe,
        data: Mapping[str, str],
        label: str,
        generator: TrainGenerator,
        source: TokenizerArtifact,
        decoding: DecodingConfig | None,
    ) -> Guidance:
        """The choice for one generator of the ids of `source`, in the primary feature space."""
        generation, evaluation = recipe.generation, recipe.evaluation
        return cls.planned(
            recipe,
            data,
            label,
            generation.choice_split,
            grid=generation.grid,
            steps=generation.steps,
            mask_schedule=generation.mask_schedule,
            decoding=decoding,
            split=generation.choice_split,
            extractor=evaluation.primary,
            num_images=generation.choice_images,
            batch_size=evaluation.batch_size,
            precision=evaluation.precision,
            seed=evaluation.seed,
            source=source,
            generator=generator,
            **trained_spaces([evaluation.primary], recipe, data),
        )

    @property
    def units(self) -> int:
        """Always 1, because `steps` counts sampling steps."""
        return 1

    def make(self, context: Context) -> dict[str, Any]:
        """Sample at every point; the result holds all points and the one with the lowest gFID."""
        from sftok.evaluation.config import GenerationEvaluationConfig
        from sftok.evaluation.guidance_choice import choose_guidance
        from sftok.randomness import derived_seed

        images = context.load_data(self.split)
        device = context.open_device(self)
        wanted = [self.extractor]
        (extractor,) = build_extractors(context, wanted, self.classifier, device, self.judges)
        found = choose_guidance(
            load_generator(context, self.generator).to(device),
            self.source.open_decoder(context, self.decoding, self.precision, device),
            images,
            self.generator.model.points(self.grid, self.steps, self.mask_schedule),
            GenerationEvaluationConfig(
                num_images=self.num_images,
                extractors=(self.extractor,),
                batch_size=self.batch_size,
                precision=self.precision,
                # Noise that differs from the evaluation's, so that no reported sample influences the choice.
                seed=derived_seed(self.seed, "guidance"),
            ),
            extractor,
            context.cache,
            context.report,
        )
        return {
            "points": [{**point.model_dump(mode="json"), "gfid": gfid} for point, gfid in found.points],
            "chosen": found.chosen.model_dump(mode="json"),
            "extractor": extractor.label,
            "reference": images.name,
            "n_images": self.num_images,
        }
