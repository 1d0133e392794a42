"""The stored trials of a study, as records for reports and scripts, without Optuna."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from experiments.specs.study import Study
from experiments.store import StoreError, read_json
from sftok.config import Config, ConfigError
from sftok.metrics.quantity import Quantity

log = logging.getLogger(__name__)

TRIALS, BEST, JOURNAL = "trials.json", "best.json", "journal.log"
"""Files in a study's folder, `<store>/studies/<name>-<profile>/`; see `folder_name`."""

DIGITS = 6
"""Digits of the identity in the name of a study with overrides."""

REMEDY = "delete it and run the study again: its trials are in the journal beside it"

TrialState = Literal["complete", "pruned", "failed", "running"]


class TrialRecord(Config):
    """One trial."""

    number: int
    state: TrialState
    value: float | None = None
    """The objective's value; None unless the trial is complete."""
    parameters: dict[str, Any] = {}
    """Values by the names of the study's space."""
    reason: str = ""
    """Why it was pruned or failed."""
    seconds: float | None = None
    """Time from start to end, including interruptions; None while the trial is running."""
    losses: dict[int, float] = {}
    """The losses that the pruner saw, by rung."""
    evaluation: str = ""
    """The artifact that the value comes from: `evaluation-<key>`."""


class StudyRun(Config):
    """Everything stored about one study at one profile."""

    study: Study
    profile: str
    meaningless: bool
    identity: str
    """A hash of everything that comparable trials share."""
    overrides: dict[str, Any]
    data: str
    command: str
    updated: str
    """ISO time of the last change."""
    budget: int
    """The requested number of trials."""
    metric: Quantity | None = None
    """The description of the objective's metric."""
    extractor: str
    """The feature space of the objective."""
    trials: tuple[TrialRecord, ...]
    importance: dict[str, float] | None = None
    """Share of each parameter in the objective's variance (PED-ANOVA); None if there are too few trials."""
    best: int | None = None
    """Number of the best trial."""
    overlay: dict[str, Any] = {}
    """The best trial's configuration values by key."""
    best_command: str = ""
    """The command that runs the experiment with the best values."""

    @property
    def name(self) -> str:
        """The name of its folder and page."""
        return folder_name(self.study.name, self.profile, self.identity, self.overrides)


def folder_name(study: str, profile: str, identity: str, overrides: Mapping[str, Any]) -> str:
    """`<study>-<profile>`, followed by a part of the identity for a study with overrides or other data.

    Such a study thus has its own trials, record and page.
    """
    return f"{study}-{profile}" + (f"-{identity[:DIGITS]}" if overrides else "")


def stored_studies(store: Path) -> list[StudyRun]:
    """The studies of a store, ordered by name; unreadable ones are logged and left out."""
    studies = []
    for path in sorted(store.glob(f"studies/*/{TRIALS}")):
        try:
            studies.append(read_study(path))
        except StoreError as error:
            log.warning("left out: %s", error)
    return [study for study in studies if study is not None]


def read_study(path: Path) -> StudyRun | None:
    """Read a study from a `trials.json`; None if there is no such file.

    Raises:
        StoreError: the file is damaged, or of another version.
    """
    content = read_json(path, REMEDY)
    try:
        return None if content is None else StudyRun.build(content)
    except ConfigError as error:
        raise StoreError(f"{path}: damaged, or of another version ({error}); {REMEDY}") from None
