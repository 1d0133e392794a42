"""What a subject is: a configuration that opens something which turns images into reconstructions.

Every kind of input lives behind this: a checkpoint, a Python object, an autoencoder of diffusers, a codec, a
folder of reconstructions. An evaluation sees a `Tokenizer` or a `Reconstructor`
(`sftok.evaluation.tokenizers`) and does not know the kind.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sftok.components import Component
from sftok.data.base import ImageSet
from sftok.evaluation.tokenizers import Reconstructor, Tokenizer
from sftok.metrics.base import EvaluationError


class SubjectError(EvaluationError, ValueError):
    """A subject that cannot be measured; the message is one line: what, where, and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Something to measure, on the CPU.

    Attributes:
        measured: images to reconstructions.
        identity: SHA-256 (hex); subjects with the same identity have the same reconstructions.
    """

    measured: Tokenizer | Reconstructor
    identity: str


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What is known of a subject before the images are.

    Attributes:
        image_size: of the images that it takes; None if it takes any.
        decoding: how it is decoded by default, as values of an `EvaluationConfig`.
        on: the subject for the images that it will reconstruct. Raises SubjectError, one line, if it does
            not fit them or does not do what it must.
    """

    image_size: int | None
    decoding: dict[str, Any] = field(default_factory=dict)
    on: Callable[[ImageSet], Subject]


class SubjectConfig(Component, family="subject", package="sftok.evaluation.subjects"):
    """What is measured, and where it is."""

    @property
    @abstractmethod
    def label(self) -> str:
        """How people name it."""

    @abstractmethod
    def open(self) -> Opened:
        """The subject.

        Raises:
            SubjectError, CheckpointError, DataError: it cannot be opened.
        """
