"""`list`: lists the experiments and studies by name."""

from __future__ import annotations

import json
from typing import Literal

from experiments.commands.wiring import Wired


def list_specs(*, format: Literal["text", "json"] = "text", wiring: Wired) -> None:
    """Print the name, title and source of every experiment, followed by every study."""
    experiments, studies = wiring.registry.experiments(), wiring.registry.studies()
    if format == "json":
        fields = {"name", "kind", "title", "source"}
        listed = [spec.model_dump(mode="json", include=fields) for spec in experiments.values()]
        listed += [
            {"name": name, "kind": "study", "title": study.title, "source": study.experiment}
            for name, study in studies.items()
        ]
        print(json.dumps(listed, indent=1))
        return
    width = max(len(name) for name in (*experiments, *studies))
    for name, spec in experiments.items():
        print(
            f"{name:<{width}}  {spec.title} ({spec.source}; {len(spec.rows)} row{'s' * (len(spec.rows) > 1)})"
        )
    for name, study in studies.items():
        print(f"{name:<{width}}  {study.title} (study of {study.experiment}; {study.trials} trials)")
