"""The evaluation of saved generated images."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from experiments.artifacts.base import Artifact
from experiments.artifacts.context import Context
from experiments.artifacts.evaluation import build_extractors, keep
from experiments.artifacts.measurement import ReferenceConfig
from sftok.evaluation.samples import SamplesConfig


class SplitSamplesConfig(SamplesConfig):
    """The protocol for generated images, and the split they are compared with."""

    split: Literal["train", "validation", "test"] = "test"


class Samples(Artifact, kind="samples"):
    """Generated images, compared with a reference."""

    not_in_key: ClassVar[frozenset[str]] = Artifact.not_in_key | {"location"}

    protocol: SplitSamplesConfig
    location: str
    content: str
    """Hash of the images."""
    image_size: int
    reference: ReferenceConfig

    def make(self, context: Context) -> dict[str, Any]:
        """Measure the samples.

        Raises:
            DataError: the samples have changed since they were requested.
        """
        from sftok.data.base import DataError
        from sftok.data.plain_images import read_plain_images
        from sftok.evaluation.samples import evaluate_samples

        device = context.open_device(self)
        samples = read_plain_images(Path(self.location), shuffled=True)
        if samples.fingerprint != self.content:
            raise DataError(f"{self.location}: has changed since it was read; evaluate it again")
        extractors = build_extractors(context, self.protocol.extractors, None, device)
        reference = self.reference.open(context, self.image_size)
        found = evaluate_samples(
            samples, reference, self.protocol, extractors, context.cache, on_progress=context.report
        )
        opened = {"kind": "samples", "label": self.location}
        return keep(found, context.folder) | {"subject": opened, "data": reference.name}
