"""`list`: the experiments and the studies by name."""

from __future__ import annotations

import argparse
import json

from experiments.commands.wiring import Wiring
from experiments.registry import discover, discover_studies


def list_experiments(options: argparse.Namespace, wiring: Wiring) -> int:
    """Print the name, source and title of every experiment, and of every study below."""
    experiments, studies = discover(wiring.spec_packages), discover_studies(wiring.spec_packages)
    if options.format == "json":
        fields = {"name", "kind", "title", "source"}
        listed = [spec.model_dump(mode="json", include=fields) for spec in experiments.values()]
        listed += [
            {"name": name, "kind": "study", "title": study.title, "source": study.experiment}
            for name, study in studies.items()
        ]
        print(json.dumps(listed, indent=1))
        return 0
    width = max(len(name) for name in (*experiments, *studies))
    for name, spec in experiments.items():
        print(f"{name:<{width}}  {spec.title} ({spec.source}; {len(spec.rows)} rows)")
    for name, study in studies.items():
        print(f"{name:<{width}}  {study.title} (study of {study.experiment}; {study.trials} trials)")
    return 0
