"""Checks the published weights that artifacts need, before anything is made.

Stage 3 starts days after the first step, and evaluations even later, so missing weights are reported at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from experiments.artifacts.base import Artifact
from sftok.components import Component


class MissingWeightsError(RuntimeError):
    """Required weights are missing; one line names the artifact, the file, its location and the remedy."""


def require_weights(artifacts: Iterable[Artifact]) -> None:
    """Load the weights that the components of `artifacts` need, which also detects damaged files.

    Raises:
        MissingWeightsError: files are missing or damaged; one line lists them all.
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
