"""`list`: the experiments by name."""

from __future__ import annotations

import argparse
import json

from experiments.commands.wiring import Wiring
from experiments.registry import discover


def list_experiments(options: argparse.Namespace, wiring: Wiring) -> int:
    """Print every experiment's name, source and title."""
    experiments = discover(wiring.spec_packages)
    if options.format == "json":
        fields = {"name", "kind", "title", "source"}
        print(
            json.dumps(
                [spec.model_dump(mode="json", include=fields) for spec in experiments.values()], indent=1
            )
        )
        return 0
    width = max(len(name) for name in experiments)
    for name, spec in experiments.items():
        print(f"{name:<{width}}  {spec.title} ({spec.source}; {len(spec.rows)} rows)")
    return 0
