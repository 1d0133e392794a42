"""The evaluation of a generator under the guidance chosen for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from experiments.artifacts.base import Artifact
from experiments.artifacts.classifier import Classifier
from experiments.artifacts.context import Context
from experiments.artifacts.evaluation import build_extractors, keep
from experiments.artifacts.generator import load_generator
from experiments.artifacts.guidance import Guidance
from experiments.artifacts.judge import Judge, trained_spaces
from experiments.recipe import Recipe
from experiments.store import RESULT, read_json
from sftok.evaluation.config import Precision
from sftok.evaluation.extractors.base import ExtractorConfig
from sftok.metrics.base import MetricConfig


class Generation(Artifact, kind="generation"):
    """Generated images of every class, compared with those of a split."""

    split: str
    extractors: tuple[ExtractorConfig, ...]
    metrics: tuple[MetricConfig, ...]
    example_classes: int
    examples_per_class: int
    batch_size: int
    precision: Precision
    seed: int
    guidance: Guidance
    classifier: Classifier | None = None
    judges: dict[str, Judge] = {}

    @classmethod
    def plan(cls, recipe: Recipe, data: Mapping[str, str], label: str, guidance: Guidance) -> Generation:
        """The evaluation of the generator of `guidance`."""
        generation, evaluation = recipe.generation, recipe.evaluation
        return cls.planned(
            recipe,
            data,
            label,
            evaluation.split,
            split=evaluation.split,
            extractors=evaluation.extractors,
            metrics=generation.metrics,
            example_classes=generation.example_classes,
            examples_per_class=generation.examples_per_class,
            batch_size=evaluation.batch_size,
            precision=evaluation.precision,
            seed=evaluation.seed,
            guidance=guidance,
            **trained_spaces(evaluation.extractors, recipe, data),
        )

    def make(self, context: Context) -> dict[str, Any]:
        """Sample and measure; `examples.npz` holds samples by class."""
        from sftok.decoding.guidance import GenerationConfig
        from sftok.evaluation.config import GenerationEvaluationConfig
        from sftok.evaluation.generation import evaluate_generation

        images, choice = context.load_data(self.split), self.guidance
        chosen = (read_json(context.folder_of(choice) / RESULT) or {})["chosen"]
        config = GenerationEvaluationConfig(
            generation=GenerationConfig.model_validate(chosen),
            choice=(
                f"guidance and temperature of the lowest gFID of {choice.num_images} samples against the "
                f"{choice.split} images ({choice.extractor.label}) among "
                f"{json.dumps(choice.grid.model_dump(mode='json'))}"
            ),
            num_images=len(images),
            extractors=self.extractors,
            metrics=self.metrics,
            batch_size=self.batch_size,
            precision=self.precision,
            seed=self.seed,
            example_classes=self.example_classes,
            examples_per_class=self.examples_per_class,
        )
        device = context.open_device(self)
        network = load_generator(context, choice.generator).to(device)
        found = evaluate_generation(
            network,
            choice.source.open_decoder(context, choice.decoding, self.precision, device),
            images,
            config,
            build_extractors(context, self.extractors, self.classifier, device, self.judges),
            context.cache,
            on_progress=context.report,
        )
        return keep(found, context.folder) | {"sampling": chosen, "seed": self.seed}
