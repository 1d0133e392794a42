"""The family of features: one vector per image, or one per patch, of a frozen network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from sftok.components import Component
from sftok.frozen import Frozen


class Features(ABC):
    """A frozen network and the features that it computes.

    Attributes:
        network: the frozen network; results record the hash of its weights.
        dim: channels of a feature, F.
    """

    network: Frozen
    dim: int

    @abstractmethod
    def pooled(self, images: Tensor) -> Tensor:
        """Map images `[B, 3, H, W]` in [0, 1] to one feature each, `[B, F]`."""

    @abstractmethod
    def patches(self, images: Tensor) -> Tensor:
        """Map images `[B, 3, H, W]` in [0, 1] to the features of their patches, row by row, `[B, n, F]`."""


class FeaturesConfig(Component, family="features", package="sftok.features"):
    """Selects the network."""

    in_domain: ClassVar[bool] = False
    """Whether its weights are trained on the data at hand, and so have no fixed location."""

    def channels(self, classifier: Sequence[int]) -> int | None:
        """Return the channels of a feature, F, given an in-domain classifier's channels; None if unknown.

        Raises:
            ValueError: the classifier has no such features.
        """
        return None

    @abstractmethod
    def build(self, weights: Path | None = None) -> Features:
        """Build the features, with the published weights or those in the file `weights`.

        Raises:
            PretrainedError, EvaluationError: the weights are missing or damaged.
        """

    def check_weights(self) -> None:
        """Load published weights.

        Raises:
            PretrainedError: the weights are missing or damaged.
        """
        if not self.in_domain:
            self.build()
