"""rFID of the same reconstructions under the protocols in common use."""

from __future__ import annotations

from typing import Any, ClassVar

from experiments.artifacts.base import Artifact
from experiments.artifacts.context import Context
from experiments.artifacts.evaluation import build_extractors
from experiments.recipe import SplitEvaluation
from sftok.evaluation.subjects.base import SubjectConfig


class Explanation(Artifact, kind="explanation"):
    """rFID under each variation of the protocol, in the first feature space of `protocol`."""

    not_in_key: ClassVar[frozenset[str]] = Artifact.not_in_key | {"subject"}

    protocol: SplitEvaluation
    subject: SubjectConfig
    content: str
    """The subject's identity."""

    def make(self, context: Context) -> dict[str, Any]:
        """Measure every variation that applies.

        Raises:
            SubjectError: the subject has changed since it was requested.
        """
        from sftok.evaluation.explain import explain
        from sftok.evaluation.subjects.base import SubjectError

        images = context.load_data(self.protocol.split)
        device = context.open_device(self)
        (extractor, *_) = build_extractors(context, self.protocol.extractors[:1], None, device)
        subject = self.subject.open().on(images)
        if subject.identity != self.content:
            raise SubjectError(f"{self.subject.label}: it has changed since it was read; evaluate it again")
        found = explain(
            subject.measured.to(device),
            images,
            self.protocol,
            extractor,
            context.cache,
            training_set=context.load_data("train"),
            on_progress=context.report,
        )
        opened = {"kind": type(self.subject).reference, "label": self.subject.label}
        return found.result() | {"subject": opened, "data": images.name}
