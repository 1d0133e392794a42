"""Sweeps: an experiment built from the command line, whose rows are combinations of configuration values.

They replace the rows of the base experiment. Changes that all its rows share are kept, every other value is
the profile's, and each combination overrides both, so a key in which the base's rows differ can be swept.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.specs.experiment import Experiment, Row
from sftok.config import ConfigError, overlap

MAX_ROWS = 256
"""Maximum number of rows of a sweep, because a grid grows as a product."""

ONE_FOR_ALL = (
    "data",
    "device",
    "tf32",
    "compile",
    "teacher.checkpoint",
    "evaluation.split",
    "evaluation.primary_extractor",
    "classifier",
    "judges",
    "generation.choice_split",
)
"""Keys that all rows of a plan share: data, splits, device, the networks that measure, a given teacher."""

Combination = Mapping[str, Any]
"""A value for each swept key: one row."""


def combinations(
    grids: Sequence[tuple[str, Sequence[Any]]], listed: Sequence[Combination]
) -> list[Combination]:
    """Each entry of `listed`, if any, combined with the product of `grids`; the last grid varies fastest.

    Raises:
        ConfigError: nothing is swept, there are too many rows, or a key or combination occurs twice.
    """
    _check_keys([key for key, _ in grids], listed)
    count = max(1, len(listed)) * math.prod(len(values) for _, values in grids)
    if count > MAX_ROWS:
        raise ConfigError(
            f"the sweep has {count:,} rows, more than {MAX_ROWS}: split it, or use fewer values"
        )
    products = [
        dict(zip((key for key, _ in grids), values, strict=True))
        for values in itertools.product(*(values for _, values in grids))
    ]
    found: list[Combination] = [{**entry, **product} for entry in (listed or [{}]) for product in products]
    texts = [_canonical(combination) for combination in found]
    if twice := [text for text in texts if texts.count(text) > 1]:
        raise ConfigError(f"the sweep has {twice[0]} twice")
    return found


def _check_keys(gridded: Sequence[str], listed: Sequence[Combination]) -> None:
    if not gridded and not listed:
        raise ConfigError("give --grid KEY=A,B,... or --list KEY=A,OTHER=B")
    for entry in listed[1:]:
        if set(entry) != set(listed[0]):
            raise ConfigError(
                f"every --list must name the same keys: one has {', '.join(sorted(listed[0]))}, "
                f"another {', '.join(sorted(entry))}"
            )
    keys = [*gridded, *(listed[0] if listed else ())]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"{key} is swept more than once; give all its values in one --grid")
        if any(overlap(key, shared) for shared in ONE_FOR_ALL):
            raise ConfigError(
                f"{key} cannot be swept: the rows of a table share the data, the splits, the device, the "
                "feature spaces and a given teacher; run the command once per value, with --set and another "
                "--store"
            )
        if inner := [other for other in keys if other != key and overlap(key, other)]:
            raise ConfigError(f"{key} and {inner[0]} overlap; sweep only one of them")


def swept_experiment(base: Experiment, swept: Sequence[Combination]) -> Experiment:
    """The sweep over `swept` (all with the same keys), based on settings that all rows of `base` share."""
    keys = tuple(swept[0])
    common = _common_row(base)
    names = short_names(keys)
    rows = tuple(_row(base, common, combination, names) for combination in swept)
    words = ", ".join(keys)
    digest = _digest(common, *swept)
    stem = _slug("-".join(names.values()))[:40].rstrip("-._").replace(".", "-")
    return Experiment.build(
        {
            "name": f"sweep-{base.name}-{stem}-{digest}",
            "kind": "sweep",
            "title": f"Sweep over {words}",
            "source": f"a sweep of {base.name}",
            "description": (
                f"What the rows of {base.name} ({base.title}) have in common, "
                f"under {len(rows)} combinations of {words}."
            ),
            "rows": _told_apart(rows),
            "headline_steps": base.headline_steps,
            "swept": keys,
        }
    )


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The shortest distinct endings of the dotted keys, e.g. `replacement_ratio`."""
    found = {}
    for key in keys:
        parts = key.split(".")
        endings = [".".join(parts[-length:]) for length in range(1, len(parts) + 1)]
        found[key] = next(
            ending
            for ending in endings
            if ending == key or not any(other != key and f".{other}".endswith(f".{ending}") for other in keys)
        )
    return found


def value_text(value: Any) -> str:
    """Format a swept value for people."""
    return value if isinstance(value, str) else json.dumps(value)


def _common_row(base: Experiment) -> dict[str, Any]:
    """What all trained tokenizers of `base` share: variants, overrides and what is measured."""
    rows = [row for row in base.trained_rows if row.subject == "tokenizer"]
    if not rows:
        return {}
    first, *others = rows
    overrides = {
        key: value
        for key, value in first.overrides.items()
        if all(key in row.overrides and row.overrides[key] == value for row in others)
    }
    variants = [name for name in first.variants if all(name in row.variants for row in others)]
    common: dict[str, Any] = {"overrides": overrides, "variants": variants}
    if all(row.measures == "generation" for row in rows):
        common["measures"] = "generation"
    return common


def _row(
    base: Experiment, common: Mapping[str, Any], combination: Combination, names: Mapping[str, str]
) -> Row:
    overrides = {
        key: value
        for key, value in common.get("overrides", {}).items()
        if not any(swept == key or key.startswith(f"{swept}.") for swept in combination)
    }
    overrides |= combination
    name = ".".join(f"{names[key]}-{value_text(value)}" for key, value in combination.items())
    label = ", ".join(f"{names[key]} {value_text(value)}" for key, value in combination.items())
    variants = tuple(common.get("variants", ()))
    # A combination equal to a row of the paper has its published numbers and its number of steps.
    same = [row for row in base.trained_rows if row.overrides == overrides and row.variants == variants]
    known = same[0] if same and same[0].subject == "tokenizer" else None
    published = {"published": known.published, "steps": known.steps} if known else {}
    measured = {"measures": common["measures"]} if "measures" in common else {}
    return Row(name=_slug(name), label=label, overrides=overrides, variants=variants, **published, **measured)


def _told_apart(rows: Sequence[Row]) -> list[Row]:
    """Give rows with equal or long names a hash of their changes as a suffix."""
    names = [row.name for row in rows]
    return [
        row
        if names.count(row.name) == 1 and len(row.name) <= 60
        else row.model_copy(update={"name": f"{row.name[:50]}-{_digest(row.overrides)}"})
        for row in rows
    ]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-._") or "value"


def _digest(*values: Mapping[str, Any]) -> str:
    return hashlib.sha256("\n".join(map(_canonical, values)).encode()).hexdigest()[:6]


def _canonical(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), sort_keys=True)
