"""`show`: prints an experiment and its resolved configuration as text or JSON."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from cyclopts import Parameter

from experiments.commands.options import PlanOptions
from experiments.commands.wiring import Wired

COSTS = "table5"
"""The experiment with the published GPU hours."""


def show(
    experiment: Annotated[str, Parameter(help="an experiment from `list`, or a Python file of your own")],
    /,
    *,
    plan: PlanOptions = PlanOptions(),
    format: Literal["text", "json"] = "text",
    wiring: Wired,
) -> None:
    """Print what would be run; reads only the specs."""
    found = wiring.registry.experiment(experiment)
    costs = wiring.registry.experiments().get(COSTS)
    # Imported here, so that an unknown name is reported before torch is loaded.
    from experiments.commands.description import content, text
    from experiments.commands.plans import chosen_overlay
    from experiments.profiles import PROFILES

    profile = PROFILES[plan.profile]
    said = content(found, costs, profile, chosen_overlay(plan)) | {"seeds": list(plan.seeds)}
    print(json.dumps(said, indent=1) if format == "json" else "\n".join(text(found, profile, said)))
