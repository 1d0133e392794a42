"""The output of `show`: an experiment's rows, its configuration, and the source of each value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from experiments.planning.settings import setting_lines
from experiments.planning.sizes import gpu_hours, parameter_counts
from experiments.planning.sources import source_at, source_in_row
from experiments.profiles import PROFILES
from experiments.profiles.base import Profile
from experiments.recipe import Recipe, resolve
from experiments.requests import GPU_FLOPS
from experiments.specs import Experiment, Row
from sftok.config import flat


def content(
    experiment: Experiment, costs: Experiment | None, profile: Profile, overlay: Mapping[str, Any]
) -> dict[str, Any]:
    """The JSON output of `show`; `costs` is the experiment with the published GPU hours."""
    recipe = resolve(profile.overlay, overlay)
    recipes = {
        row.name: resolve(profile.overlay, profile.overlay_of(row), overlay)
        for row in experiment.trained_rows
    }
    tokenizers = {
        row.name: recipes[row.name] for row in experiment.trained_rows if row.subject == "tokenizer"
    }
    paper = flat(resolve(PROFILES["paper"].overlay).model_dump(mode="json"))
    rows = {name: each.model_dump(mode="json") for name, each in recipes.items()}
    config = recipe.model_dump(mode="json")
    return {
        "experiment": experiment.model_dump(mode="json"),
        "profile": profile.name,
        "config": config,
        "sources": {
            key: source_at(key, value, profile, paper, overlay) for key, value in flat(config).items()
        },
        "rows": rows,
        "row_sources": {
            row.name: _row_sources(row, rows[row.name], config, profile) for row in experiment.trained_rows
        },
        "parameters": {
            row.name: parameter_counts(recipes[row.name], row.subject) for row in experiment.trained_rows
        },
        "gpu_hours": _gpu_hours(tokenizers, costs) if profile.name == "paper" else {},
        "settings": [line.model_dump(mode="json") for line in setting_lines(experiment, recipe)],
    }


def _row_sources(
    row: Row, own: Mapping[str, Any], base: Mapping[str, Any], profile: Profile
) -> dict[str, str]:
    """The source of each value in which a row differs from its table's base configuration."""
    paper = PROFILES["paper"]
    at_paper = flat(resolve(paper.overlay, paper.overlay_of(row)).model_dump(mode="json"))
    shared = flat(base)
    return {
        key: source_in_row(row, key, value, profile, at_paper)
        for key, value in flat(own).items()
        if key not in shared or value != shared[key]
    }


def _gpu_hours(recipes: Mapping[str, Recipe], costs: Experiment | None) -> dict[str, Any]:
    """Estimated hours of each row, and published ones for the rows of Table 5."""
    published = {row.name: row.published for row in costs.rows} if costs else {}
    return {
        name: {"estimated": gpu_hours(recipe), "published": published.get(name, {})}
        for name, recipe in recipes.items()
    }


def text(experiment: Experiment, profile: Profile, content: Mapping[str, Any]) -> Iterator[str]:
    """The text output of `show`, line by line."""
    yield f"{experiment.name}: {experiment.title}\n{experiment.source}\n\n{experiment.description}\n"
    yield from map(_row, experiment.rows)
    yield from (f"\n  claim {claim.name}: {claim.text} ({claim.source})" for claim in experiment.claims)
    yield from _sizes(content)
    if content["settings"]:
        yield f"\nstages 1 to 3: published / profile {profile.name}"
    for line in content["settings"]:
        here = "  ".join(line["here"])
        mark = {True: "=", False: "differs", None: ""}[line["agrees"]]
        words = f"{mark}  {line['note']}".strip()
        published = "  ".join(line["published"])
        yield f"  {line['category']}, {line['parameter']}: {published} / {here}  {words}".rstrip()
    yield f"\nprofile {profile.name}: {profile.purpose}; keys for --set:"
    for key, value in flat(content["config"]).items():
        yield f"  {key} = {json.dumps(value)}  # {content['sources'][key]}"
    for name, sources in content["row_sources"].items():
        if sources:
            yield f"\nrow {name} differs in:"
        own = flat(content["rows"][name])
        yield from (f"  {key} = {json.dumps(own[key])}  # {source}" for key, source in sources.items())


def _row(row: Row) -> str:
    changes = [*row.variants, *(f"{key}={value}" for key, value in row.overrides.items())]
    said = [f"{name} {value}" for name, value in row.facts.items()]
    said += [f"{metric} {value}" for metric, value in row.published.items()]
    how = ", ".join(changes) or "the profile as it is" if row.trained else "published only"
    if row.subject != "tokenizer":
        how = f"{'the teacher' if row.subject == 'teacher' else 'trained on pixels'}, {how}"
    if row.measures == "generation":
        how = f"images generated from the tokens of: {how}"
    return f"  {row.name}: {row.label}; {how}" + (f"; published: {', '.join(said)}" if said else "")


def _sizes(content: Mapping[str, Any]) -> Iterator[str]:
    if content["parameters"]:
        yield "\nparameters (millions), everything that encodes and decodes:"
    for name, counts in content["parameters"].items():
        yield f"  {name}: " + ", ".join(f"{part} {count / 1e6:.2f}" for part, count in counts.items())
    if content["gpu_hours"]:
        yield f"\nGPU hours, estimated at {GPU_FLOPS / 1e12:g} TFLOP/s per GPU (published in Table 5):"
    for name, hours in content["gpu_hours"].items():
        known = hours["published"]
        columns = (
            f"{metric.removeprefix('hours_')} {value:,.0f}"
            + (f" ({known[metric]:,.0f})" if metric in known else "")
            for metric, value in hours["estimated"].items()
        )
        yield f"  {name}: {', '.join(columns)}"
