"""An analysis of a trained tokenizer, such as what each decoding step knows or what a context is worth."""

from __future__ import annotations

from typing import Any

from experiments.artifacts.base import Artifact
from experiments.artifacts.context import Context
from experiments.artifacts.evaluation import Evaluation
from experiments.artifacts.stage import TrainStage
from experiments.artifacts.teacher import Teacher
from experiments.recipe import Recipe
from sftok.analysis.base import AnalysisConfig


class Analysis(Artifact, kind="analysis"):
    """The result of one analysis."""

    analysis: AnalysisConfig
    split: str
    kept_tokens: int | None = None
    teacher: Teacher
    tokenizer: TrainStage

    @classmethod
    def plan(cls, name: str, evaluation: Evaluation, recipe: Recipe, label: str) -> Analysis:
        """The analysis `name` of the tokenizer that `evaluation` measures, on the same images."""
        settings = recipe.analysis.get(name) or AnalysisConfig.member_of(name)
        split = recipe.evaluation.split
        return cls.planned(
            recipe,
            evaluation.data,
            label,
            split,
            analysis=settings.fitted(recipe.evaluation, single_step=recipe.single_step),
            split=split,
            kept_tokens=evaluation.kept_tokens,
            teacher=evaluation.teacher,
            tokenizer=evaluation.tokenizer,
        )

    def make(self, context: Context) -> dict[str, Any]:
        """Measure the tokenizer."""
        device = context.open_device(self)
        tokenizer = self.tokenizer.open(context, self.kept_tokens).to(device)
        teacher = self.teacher.open(context).to(device)
        images = context.load_data(self.split)
        return self.analysis.measure(tokenizer, teacher, images, context.report).result()
