"""The claims of the paper, and their verdicts."""

from __future__ import annotations

from markupsafe import Markup

from experiments.records import Run
from experiments.records.verdicts import judge
from reports.claims import by_claim, compared, remedy_of
from reports.html import section, smoke, template

ORDER, TITLE = 20, "Claims"


def applies(run: Run) -> bool:
    """Whether the experiment makes a claim."""
    return bool(run.experiment.claims)


def render(run: Run) -> Markup:
    """Each claim with its verdicts, and the remedy for claims that lack seeds."""
    shown = [
        (claim, [(verdict, compared(run, verdict)) for verdict in verdicts])
        for claim, verdicts in by_claim(run)
    ]
    body = template("claims", run=run, shown=shown, smoke=smoke(run), remedy=remedy_of(judge(run)))
    asks = "we asked" if run.experiment.kind == "ablation" else "the paper claims"
    return section(run, f"What {asks}, and what was found here", Markup(body))
