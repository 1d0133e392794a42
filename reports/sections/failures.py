"""Failures, and unreadable files of the store, each with its remedy."""

from __future__ import annotations

from markupsafe import Markup

from experiments.records import Run
from experiments.records.frame import damaged_logs
from reports.html import section, template

ORDER, TITLE = 10, "Failures"


def applies(run: Run) -> bool:
    """Whether anything failed."""
    return bool(damaged_logs(run)) or any(state.status == "failed" for state in run.artifacts)


def render(run: Run) -> Markup:
    """Each failure with its reason."""
    failed = [state for state in run.artifacts if state.status == "failed"]
    return section(run, TITLE, Markup(template("failures", failed=failed, problems=damaged_logs(run))))
