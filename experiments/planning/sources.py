"""Sources of the paper profile's values: the paper, or a row of docs/deviations.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.paper.table6 import EXPERIMENT as TABLE_6
from experiments.profiles.base import Profile
from experiments.specs import Row
from experiments.specs.tables import read_table
from sftok.config import overlap

DEVIATIONS = "docs/deviations.md: "
"""Prefix of the name of a row in that file."""

OURS = "ours: changes no number"

SOURCES = {line["key"]: line["source"] for line in read_table("experiments.planning", "sources.tsv")}
"""Sources by dotted key or its beginning; the longest match applies, but Table 6's keys take precedence."""

OF_VARIANTS = {
    f"{line['variant']}/{line['key']}": line["source"]
    for line in read_table("experiments.planning", "variant_sources.tsv")
}
"""Sources by variant and beginning of a key, e.g. `rq-vae/pixels.quantizer`; the longest match applies."""

ENDINGS = {"ema_decay": DEVIATIONS + "EMA", "checkpoint_every": OURS, "log_every": OURS}
"""Sources by the last part of a key."""


def source(key: str) -> str | None:
    """The source of the paper profile's value of a dotted key; None if unknown."""
    return _table_6().get(key) or ENDINGS.get(key.rpartition(".")[2]) or _by_beginning(key)


def source_in_row(row: Row, key: str, value: Any, profile: Profile, paper: Mapping[str, Any]) -> str:
    """The source of a row's `value` of a dotted key that differs from its table's base configuration.

    `paper` has the row's values at the paper profile.
    """
    for variant in row.variants:
        if any(overlap(key, own) for own in profile.variants[variant]):
            if profile.name != "paper" and value != paper.get(key):
                return f"profile {profile.name}, variant {variant}"
            return _by_beginning(f"{variant}/{key}", OF_VARIANTS) or "not said"
    return source(key) or "not said"


def source_at(
    key: str, value: Any, profile: Profile, paper: Mapping[str, Any], chosen: Mapping[str, Any]
) -> str:
    """The source of the `value` of a dotted key at any profile.

    `paper` has the paper profile's values; `chosen` the command line's, by key or its beginning.
    """
    if any(key == name or key.startswith(f"{name}.") for name in chosen):
        return "--set, --overlay or --data"
    if profile.name != "paper" and value != paper.get(key):
        return f"profile {profile.name}"
    return source(key) or "not said"


def _by_beginning(key: str, sources: Mapping[str, str] = SOURCES) -> str | None:
    if not key or key in sources:
        return sources.get(key)
    return _by_beginning(key.rpartition(".")[0], sources)


def _table_6() -> dict[str, str]:
    return {
        setting.key.replace("{n}", str(stage)): f"Table 6: {setting.category}, {setting.parameter}"
        for setting in TABLE_6.settings
        for stage in (1, 2, 3)
        if setting.key
    }
