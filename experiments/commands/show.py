"""`show`: an experiment as text or JSON, with its configuration resolved."""

from __future__ import annotations

import argparse
import json

from experiments.commands.planning import chosen_experiment, chosen_overlay
from experiments.commands.wiring import Wiring
from experiments.profiles import PROFILES
from experiments.recipe import flat, resolve


def show(options: argparse.Namespace, argv: list[str], wiring: Wiring) -> int:
    """Print what would be run: nothing is read but the specs."""
    experiment = chosen_experiment(options, wiring.spec_packages)
    profile, overlay = PROFILES[options.profile], chosen_overlay(options)
    recipe = resolve(profile.overlay, overlay)
    if options.format == "json":
        content = {
            "experiment": experiment.model_dump(mode="json"),
            "profile": profile.name,
            "seeds": list(options.seeds),
            "config": recipe.model_dump(mode="json"),
            "rows": {
                row.name: resolve(profile.overlay, row.overrides, overlay).model_dump(mode="json")
                for row in experiment.rows
            },
        }
        print(json.dumps(content, indent=1))
        return 0
    print(f"{experiment.name}: {experiment.title}\n{experiment.source}\n\n{experiment.description}\n")
    for row in experiment.rows:
        published = ", ".join(f"{metric} {value}" for metric, value in row.published.items())
        changes = (
            ", ".join(f"{key}={value}" for key, value in row.overrides.items()) or "the profile as it is"
        )
        print(f"  {row.name}: {row.label}; {changes}" + (f"; published: {published}" if published else ""))
    for claim in experiment.claims:
        print(f"\n  claim {claim.name}: {claim.text} ({claim.source})")
    print(f"\nprofile {profile.name}: {profile.purpose}; these keys can be given to --set:")
    for key, value in flat(recipe.model_dump(mode="json")).items():
        print(f"  {key} = {json.dumps(value)}")
    return 0
