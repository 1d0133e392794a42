"""The evaluation of a third-party tokenizer: a checkpoint measured under the full protocol."""

from __future__ import annotations

from typing import Any, ClassVar

from experiments.artifacts.base import Artifact
from experiments.artifacts.context import Context
from experiments.artifacts.evaluation import build_extractors, keep
from experiments.recipe import SplitEvaluation


class Checkpoint(Artifact, kind="checkpoint"):
    """The reconstructions of a checkpoint; code accuracy is not measured, because it needs the teacher."""

    not_in_key: ClassVar[frozenset[str]] = Artifact.not_in_key | {"reference", "teacher_reference"}

    protocol: SplitEvaluation
    content: str
    """Hash of the weights and the configuration."""
    reference: str
    """Location of the checkpoint; not in the key, so the file may move."""
    weights_seed: int
    """Seed of random weights."""
    teacher_reference: str | None = None

    def make(self, context: Context) -> dict[str, Any]:
        """Measure the tokenizer.

        Raises:
            CheckpointError: the checkpoint has changed since it was requested.
        """
        from sftok.checkpoints import CheckpointError
        from sftok.evaluation.reconstruction import evaluate
        from sftok.tokenizers import hub

        images = context.load_data(self.protocol.split)
        device = context.open_device(self)
        extractors = build_extractors(context, self.protocol.extractors, None, device)
        tokenizer = hub.open_tokenizer(self.reference, self.weights_seed, self.teacher_reference)
        if hub.identity(tokenizer) != self.content:
            raise CheckpointError(f"{self.reference}: it has changed since it was read; evaluate it again")
        found = evaluate(
            tokenizer.to(device), images, self.protocol, extractors, context.cache, on_progress=context.report
        )
        # The location is in no key; it is recorded for the reader.
        return keep(found, context.folder) | {"opened_from": self.reference}
