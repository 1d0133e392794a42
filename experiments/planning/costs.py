"""The expected cost of a plan, from measurements in the store or else from the profile."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping

from experiments.artifacts.base import Artifact
from experiments.store import RESULT, Store, readable_json

Costs = dict[Artifact, float | None]
"""Expected seconds of every unfinished artifact; None if unknown."""


def estimate(artifacts: Iterable[Artifact], store: Store, expected: Mapping[str, float]) -> Costs:
    """Costs of `artifacts`, as measured in the store or else from the `expected` seconds per unit."""
    measured = _measured(store)
    costs: Costs = {}
    for artifact in artifacts:
        if not store.is_done(artifact):
            per_unit = measured.get(artifact.workload) or expected.get(artifact.stage)
            costs[artifact] = None if per_unit is None else per_unit * artifact.units
    return costs


def total(costs: Costs) -> float | None:
    """The sum of all costs in seconds; None if any is unknown."""
    known = [cost for cost in costs.values() if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def _measured(store: Store) -> dict[str, float]:
    """Seconds per unit by workload: the median, because resumed work is timed from its last start only."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for path in (store.root / "artifacts").glob(f"*-*/{RESULT}"):
        made = (readable_json(path) or {}).get("provenance", {})
        if isinstance(made, dict) and {"workload", "seconds", "units"} <= made.keys():
            found[made["workload"]].append(made["seconds"] / made["units"])
    return {workload: statistics.median(each) for workload, each in found.items()}
