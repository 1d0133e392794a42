"""Published weights that artifacts need, loaded before anything is made.

Stage 3 comes days after the first step, and an evaluation later still: what they miss must be said at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from experiments.artifacts.base import Artifact
from sftok.components import Component


class MissingWeightsError(RuntimeError):
    """Weights that are needed are missing; one line: for what, which file, where, and the remedy."""


def require_weights(artifacts: Iterable[Artifact]) -> None:
    """Load the weights that the parts of `artifacts` need, so that a damaged file is found, too.

    Raises:
        MissingWeightsError: something is missing or damaged; all of it, in one line.
    """
    needed: dict[Component, str] = {}
    for artifact in artifacts:
        for part in artifact.components():
            needed.setdefault(part, artifact.label)
    problems: dict[str, str] = {}
    for part, label in needed.items():
        try:
            part.check_weights()
        except RuntimeError as error:
            problems.setdefault(str(error), label)
    if problems:
        raise MissingWeightsError("; ".join(f"{label} needs {error}" for error, label in problems.items()))
