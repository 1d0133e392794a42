"""An evaluation of a tokenizer's reconstructions, or without one of the teacher's and of real images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.artifacts.base import Artifact
from experiments.artifacts.classifier import Classifier
from experiments.artifacts.context import MODEL, Context
from experiments.artifacts.teacher import Teacher
from experiments.artifacts.tokenizer import TokenizerArtifact
from experiments.recipe import Recipe, SplitEvaluation
from experiments.store import EXAMPLES
from sftok.evaluation.extractors.base import ExtractorConfig

if TYPE_CHECKING:
    import torch

    from sftok.evaluation.extractors.base import Extractor
    from sftok.evaluation.protocol import Evaluation as Found


class Evaluation(Artifact, kind="evaluation"):
    """Reconstructions of one split, measured at every number of decoding steps."""

    protocol: SplitEvaluation
    kept_tokens: int | None = None
    """The latent tokens that are decoded, from the first on; None for all."""
    teacher: Teacher | None = None
    """The one whose codes the tokenizer predicts, or that is measured itself."""
    tokenizer: TokenizerArtifact | None = None
    classifier: Classifier | None = None

    @classmethod
    def plan(
        cls,
        recipe: Recipe,
        data: Mapping[str, str],
        label: str,
        teacher: Teacher | None,
        tokenizer: TokenizerArtifact | None = None,
    ) -> Evaluation:
        """The evaluation of `tokenizer`, or of `teacher` itself."""
        own = recipe.evaluation
        partial = tokenizer is not None and own.kept_share < 1
        return cls.planned(
            recipe,
            data,
            label,
            own.split,
            protocol=own.protocol,
            kept_tokens=recipe.kept_tokens if partial else None,
            teacher=teacher,
            tokenizer=tokenizer,
            classifier=Classifier.plan(recipe, data),
        )

    @property
    def measured(self) -> TokenizerArtifact:
        """The tokenizer that is measured; the teacher if there is no other."""
        measured = self.tokenizer or self.teacher
        assert measured is not None
        return measured

    def make(self, context: Context) -> dict[str, Any]:
        """Measure; `examples.npz` holds strips of originals and reconstructions."""
        from sftok.evaluation.reconstruction import evaluate

        images = context.load_data(self.protocol.split)
        device = context.open_device(self)
        extractors = build_extractors(context, self.protocol.extractors, self.classifier, device)
        measured = self.measured
        found = evaluate(
            measured.open(context, self.kept_tokens).to(device),
            images,
            self.protocol,
            extractors,
            context.cache,
            teacher=self.teacher.open(context).to(device) if self.teacher else None,
            subject=measured.subject,
            include_real=self.tokenizer is None,
            on_progress=context.report,
        )
        return keep(found, context.folder)


def build_extractors(
    context: Context, wanted: Sequence[ExtractorConfig], classifier: Classifier | None, device: torch.device
) -> list[Extractor]:
    """The feature spaces; the weights of the in-domain classifier are an artifact."""
    weights = None if classifier is None else context.folder_of(classifier) / MODEL
    return [extractor.build(device, weights if extractor.in_domain else None) for extractor in wanted]


def keep(found: Found, folder: Path) -> dict[str, Any]:
    """Write the example images, and return the rest of the result."""
    import numpy as np

    np.savez_compressed(folder / EXAMPLES, **found.examples)  # type: ignore[arg-type]
    return found.result()
