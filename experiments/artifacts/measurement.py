"""The evaluation of anything that reconstructs images: a checkpoint, a user's object, a codec, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, cast

from experiments.artifacts.base import Artifact
from experiments.artifacts.context import Context
from experiments.artifacts.evaluation import build_extractors, keep, keep_images
from experiments.recipe import SplitEvaluation
from sftok.config import Config
from sftok.evaluation.reference import OtherReference
from sftok.evaluation.subjects.base import SubjectConfig
from sftok.evaluation.tokenizers import Reconstructor, Tokenizer


class ReferenceConfig(Config):
    """The reference whose features replace those of the originals."""

    not_in_key: ClassVar[frozenset[str]] = frozenset({"path"})

    split: str | None = None
    """A split of the same data set."""
    path: str | None = None
    """A folder of images or one of ADM's `.npz` files."""
    content: str
    """Hash of the images or statistics."""

    def open(self, context: Context, image_size: int) -> OtherReference:
        """Open the reference; images of a folder are resized and cropped to `image_size`.

        Raises:
            DataError: the reference cannot be read.
        """
        from sftok.evaluation.reference import SetReference, open_reference

        if self.split is not None:
            return SetReference(context.load_data(self.split))
        assert self.path is not None
        return open_reference(Path(self.path), image_size)


class Measurement(Artifact, kind="measurement"):
    """Reconstructions of one split under a protocol."""

    not_in_key: ClassVar[frozenset[str]] = Artifact.not_in_key | {"subject"}

    protocol: SplitEvaluation
    subject: SubjectConfig
    """Location of the subject; not in the key, so it may move."""
    content: str
    """Identity of the subject, which determines the reconstructions."""
    reference: ReferenceConfig | None = None
    resamples: int = 0
    """Number of bootstrap resamples of the images, for confidence intervals."""
    per_class: bool = False
    """Whether each class is also measured separately."""
    probe: bool = False
    """Whether to also predict the class from the token embeddings; trained on the training split."""

    def make(self, context: Context) -> dict[str, Any]:
        """Measure the subject.

        Raises:
            SubjectError: the subject has changed since it was requested.
        """
        import torch

        from sftok.evaluation.reconstruction import evaluate
        from sftok.evaluation.subjects.base import SubjectError

        images = context.load_data(self.protocol.split)
        device = context.open_device(self)
        extractors = build_extractors(context, self.protocol.extractors, None, device)
        subject = self.subject.open().on(images)
        if subject.identity != self.content:
            raise SubjectError(f"{self.subject.label}: it has changed since it was read; evaluate it again")
        side = images.images(torch.arange(1)).shape[-1]
        found = evaluate(
            cast(Any, subject.measured).to(device),
            images,
            self.protocol,
            extractors,
            context.cache,
            other_reference=None if self.reference is None else self.reference.open(context, side),
            on_progress=context.report,
            parts=context.folder,
            resamples=self.resamples,
            per_class=self.per_class,
        )
        keep_images(found, context.folder)
        # The key contains neither name nor location; the record has both for the reader.
        opened = {"kind": type(self.subject).reference, "label": self.subject.label}
        result = keep(found, context.folder) | {"subject": opened, "data": images.name}
        return _probed(result, subject.measured, context, self.protocol) if self.probe else result


def _probed(
    result: dict[str, Any], measured: Tokenizer | Reconstructor, context: Context, protocol: SplitEvaluation
) -> dict[str, Any]:
    """Add the accuracies of a linear probe and of nearest neighbors to the result."""
    from sftok.evaluation.probe import QUANTITIES, embedding_of, probe
    from sftok.evaluation.protocol import row

    embed = embedding_of(measured)
    assert embed is not None, "checked before"
    images = context.load_data(protocol.split)
    found = probe(measured, embed, context.load_data("train"), images, protocol.batch_size)  # type: ignore[arg-type]
    rows = [row("tokenizer", name, "", value, len(images)) for name, value in found.items()]
    described = {each.name: each.model_dump(mode="json") for each in QUANTITIES}
    return result | {"rows": [*result["rows"], *rows], "metrics": result["metrics"] | described}
