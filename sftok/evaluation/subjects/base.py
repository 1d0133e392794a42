"""The interface of subjects: a configuration that opens something which reconstructs images.

Every kind of input implements it: a checkpoint, a Python object, an autoencoder of diffusers, a codec, a
folder of reconstructions. An evaluation only sees a `Tokenizer` or a `Reconstructor`
(`sftok.evaluation.tokenizers`), not the kind.
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
    """A subject cannot be measured; the one-line message gives the subject, the cause and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A subject to be measured, on the CPU.

    Attributes:
        measured: maps images to reconstructions.
        identity: SHA-256 (hex); subjects with the same identity have the same reconstructions.
    """

    measured: Tokenizer | Reconstructor
    identity: str


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An opened subject, before the images are known.

    Attributes:
        image_size: size of the images that it takes; None if it takes any.
        decoding: its default decoding, as values of an `EvaluationConfig`.
        on: returns the subject for the images that it will reconstruct. Raises SubjectError if it does not
            fit them or does not behave as required.
    """

    image_size: int | None
    decoding: dict[str, Any] = field(default_factory=dict)
    on: Callable[[ImageSet], Subject]


class SubjectConfig(Component, family="subject", package="sftok.evaluation.subjects"):
    """The location and settings of a subject."""

    @property
    @abstractmethod
    def label(self) -> str:
        """A human-readable name."""

    @abstractmethod
    def open(self) -> Opened:
        """Open the subject.

        Raises:
            SubjectError, CheckpointError, DataError: the subject cannot be opened.
        """
