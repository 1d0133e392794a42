"""The interface of contexts: the codes that the decoder sees at visible positions in stage 2."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from sftok.components import Component
from sftok.training.stages.base import Step


class Context(Protocol):
    """Chooses the codes at visible positions; the mask is drawn before and applied afterwards."""

    def __call__(self, codes: Tensor, first_logits: Callable[[], Tensor], step: Step) -> Tensor:
        """Return the codes shown at visible positions.

        Args:
            codes: the teacher's codes, int64 `[B, N]`.
            first_logits: computes the logits `[B, N, V]`, float32 and without gradient, of the pass in which
                every position is masked (M_1 in Section 3.2). Not calling it saves that pass.
            step: the update; random draws come from `step.uniform` or `step.generator`.

        Returns:
            Codes, int64 `[B, N]` in 0..V-1, including masked positions.
        """


class ContextConfig(Component, family="context", package="sftok.training.contexts"):
    """Selects the codes shown at visible positions."""

    @property
    def predicts(self) -> bool:
        """Whether the context calls `first_logits`, which costs a pass of the decoder."""
        return True

    @abstractmethod
    def build(self) -> Context:
        """Build the context."""
