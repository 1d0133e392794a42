"""An evaluation of a tokenizer's reconstructions or, without a tokenizer, of the teacher and real images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from experiments.artifacts.base import Artifact
from experiments.artifacts.classifier import Classifier
from experiments.artifacts.context import MODEL, Context
from experiments.artifacts.judge import Judge, trained_spaces
from experiments.artifacts.teacher import Teacher
from experiments.artifacts.tokenizer import TokenizerArtifact
from experiments.recipe import Recipe, SplitEvaluation
from experiments.store import EXAMPLES, EXTREMES, PER_IMAGE
from sftok.evaluation.extractors.base import ExtractorConfig

if TYPE_CHECKING:
    import numpy as np
    import torch

    from sftok.evaluation.extractors.base import Extractor
    from sftok.evaluation.protocol import Evaluation as Found


class Evaluation(Artifact, kind="evaluation"):
    """Reconstructions of one split, measured at every number of decoding steps."""

    protocol: SplitEvaluation
    kept_tokens: int | None = None
    """How many latent tokens are decoded, starting with the first; None for all."""
    teacher: Teacher | None = None
    """The teacher whose codes the tokenizer predicts, or which is measured itself."""
    tokenizer: TokenizerArtifact | None = None
    classifier: Classifier | None = None
    judges: dict[str, Judge] = {}
    """The other feature spaces trained on the data, by label."""

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
            **trained_spaces(own.extractors, recipe, data),
        )

    @property
    def measured(self) -> TokenizerArtifact:
        """The tokenizer to measure; the teacher if there is none."""
        measured = self.tokenizer or self.teacher
        assert measured is not None
        return measured

    @property
    def units(self) -> int:
        """Decodings of all images: one for each number of steps."""
        return len(self.protocol.steps) if self.measured.subject == "tokenizer" else 1

    def make(self, context: Context) -> dict[str, Any]:
        """Measure in parts, so that a killed process can resume; `examples.npz` holds strips of images."""
        from sftok.evaluation.reconstruction import evaluate

        images = context.load_data(self.protocol.split)
        device = context.open_device(self)
        wanted = self.protocol.extractors
        extractors = build_extractors(context, wanted, self.classifier, device, self.judges)
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
            parts=context.folder,
        )
        return keep(found, context.folder)


def build_extractors(
    context: Context,
    wanted: Sequence[ExtractorConfig],
    classifier: Classifier | None,
    device: torch.device,
    judges: Mapping[str, Artifact] = MappingProxyType({}),
) -> list[Extractor]:
    """Build the feature spaces; the weights of those trained on the data are artifacts."""
    trained = {"classifier": classifier, **judges}
    weights = {label: context.folder_of(each) / MODEL for label, each in trained.items() if each is not None}
    return [extractor.build(device, weights.get(extractor.label)) for extractor in wanted]


def keep(found: Found, folder: Path) -> dict[str, Any]:
    """Write the example images, and return the rest of the result."""
    save_examples(found.examples, folder)
    return found.result()


def save_examples(examples: Mapping[str, np.ndarray], folder: Path) -> None:
    """Write example images."""
    import numpy as np

    np.savez_compressed(folder / EXAMPLES, **examples)  # type: ignore[arg-type]


def keep_images(found: Found, folder: Path) -> None:
    """Write a table with one row per image, and the best and worst images."""
    import numpy as np
    import pandas as pd

    columns = {name: list(each) if each.ndim > 1 else each for name, each in found.images.items()}
    pd.DataFrame(columns).to_parquet(folder / PER_IMAGE, index=False)
    np.savez_compressed(folder / EXTREMES, **found.extremes)  # type: ignore[arg-type]
