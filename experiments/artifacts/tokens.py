"""A tokenizer's ids of the training images, on which a generator is trained."""

from __future__ import annotations

from typing import Any

from experiments.artifacts.base import Artifact
from experiments.artifacts.codes import write_ids
from experiments.artifacts.context import Context
from experiments.artifacts.tokenizer import TokenizerArtifact
from sftok.data.augmentation import AugmentationConfig


class Tokens(Artifact, kind="tokens"):
    """The ids of the center crop of every training image."""

    tokenizer: TokenizerArtifact

    def make(self, context: Context) -> dict[str, Any]:
        """Encode the training images with the frozen tokenizer."""
        return write_ids(context, self, self.tokenizer.open(context), AugmentationConfig())
