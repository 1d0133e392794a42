"""The evaluation of somebody else's tokenizer: a checkpoint under the full protocol."""

from __future__ import annotations

from typing import Any, ClassVar

from experiments.artifacts.base import Artifact
from experiments.artifacts.context import Context
from experiments.artifacts.evaluation import build_extractors, keep
from experiments.recipe import SplitEvaluation


class Checkpoint(Artifact, kind="checkpoint"):
    """The reconstructions of a checkpoint; without its teacher there is no code accuracy."""

    not_in_key: ClassVar[frozenset[str]] = Artifact.not_in_key | {"reference", "teacher_reference"}

    protocol: SplitEvaluation
    content: str
    """Hash of the weights and the configuration."""
    reference: str
    """Where the checkpoint is: a moved file keeps its key."""
    weights_seed: int
    """Of random weights."""
    teacher_reference: str | None = None

    def make(self, context: Context) -> dict[str, Any]:
        """Measure the tokenizer.

        Raises:
            CheckpointError: its file has changed since it was requested.
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
        # No key holds where it was, but people look for it here.
        return keep(found, context.folder) | {"opened_from": self.reference}
