"""What a plan will cost: measured in this store where it can be, else what the profile expects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from experiments.artifacts.base import Artifact
from experiments.store import RESULT, Store, readable_json

Costs = dict[Artifact, float | None]
"""Expected seconds of every artifact that is not done; None where nothing is known."""


def estimate(artifacts: Iterable[Artifact], store: Store, expected: Mapping[str, float]) -> Costs:
    """Costs of `artifacts`: as measured in the store, else from `expected` seconds per unit of a stage."""
    measured = _measured(store)
    costs: Costs = {}
    for artifact in artifacts:
        if not store.is_done(artifact):
            per_unit = measured.get(artifact.workload) or expected.get(artifact.stage)
            costs[artifact] = None if per_unit is None else per_unit * artifact.units
    return costs


def total(costs: Costs) -> float | None:
    """Seconds of all of them; None if one is not known."""
    known = [cost for cost in costs.values() if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def _measured(store: Store) -> dict[str, float]:
    """Seconds per unit by workload, of finished artifacts; of several the latest counts."""
    found: dict[str, tuple[str, float]] = {}
    for path in (store.root / "artifacts").glob(f"*-*/{RESULT}"):
        made = (readable_json(path) or {}).get("provenance", {})
        if isinstance(made, dict) and {"workload", "seconds", "units", "started"} <= made.keys():
            latest = (str(made["started"]), made["seconds"] / made["units"])
            found[made["workload"]] = max(found.get(made["workload"], ("", 0.0)), latest)
    return {workload: per_unit for workload, (_, per_unit) in found.items()}
