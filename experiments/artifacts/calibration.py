"""The calibration of a protocol's feature spaces: does FID increase with distortions of known order?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.artifacts.base import Artifact
from experiments.artifacts.classifier import Classifier
from experiments.artifacts.context import Context
from experiments.artifacts.evaluation import build_extractors, save_examples
from experiments.artifacts.judge import Judge, trained_spaces
from experiments.artifacts.teacher import Teacher
from experiments.recipe import Recipe
from sftok.calibration.report import CalibrationConfig
from sftok.evaluation.extractors.base import ExtractorConfig


class Calibration(Artifact, kind="calibration"):
    """The response of each feature space to images degraded in known ways."""

    settings: CalibrationConfig
    split: str
    extractors: tuple[ExtractorConfig, ...]
    teacher: Teacher
    classifier: Classifier | None = None
    judges: dict[str, Judge] = {}
    further_seeds: dict[str, Artifact] = {}
    """The same networks trained with other seeds, by label and number."""

    @classmethod
    def plan(cls, recipe: Recipe, data: Mapping[str, str]) -> Calibration:
        """The calibration of the recipe's feature spaces, on the images that evaluations read."""
        evaluation, settings = recipe.evaluation, recipe.calibration
        further: dict[str, Artifact] = {}
        for number in range(1, settings.further_seeds + 1):
            made = trained_spaces(evaluation.extractors, recipe, data, number)
            named = {"classifier": made["classifier"], **made["judges"]}
            further |= {f"{label} {number}": each for label, each in named.items() if each is not None}
        return cls.planned(
            recipe,
            data,
            "calibration of the feature spaces",
            evaluation.split,
            settings=settings,
            split=evaluation.split,
            extractors=evaluation.extractors,
            teacher=Teacher.plan(recipe, data),
            further_seeds=further,
            **trained_spaces(evaluation.extractors, recipe, data),
        )

    def make(self, context: Context) -> dict[str, Any]:
        """Distort and measure images; `examples.npz` holds strips of each distortion."""
        from sftok.calibration.measure import METRICS, calibrate
        from sftok.metrics.base import describe

        device = context.open_device(self)
        spaces = {}
        for extractor in self.extractors:
            networks = build_extractors(context, [extractor], self.classifier, device, self.judges)
            for number in range(1, self.settings.further_seeds + 1):
                other = self.further_seeds.get(f"{extractor.label} {number}")
                if other is not None:
                    networks += build_extractors(context, [extractor], None, device, {extractor.label: other})
            spaces[extractor.label] = networks
        teacher = self.teacher.open(context).to(device)
        images = context.load_data(self.split)
        found = calibrate(teacher, images, spaces, self.settings, context.report)
        save_examples(found.examples, context.folder)
        return {
            "rows": found.rows,
            "metrics": describe(METRICS),
            "protocol": found.protocol.record(),
            "spaces": [each.model_dump(mode="json") for each in found.reports],
        }
