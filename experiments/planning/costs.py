"""What a plan will cost: measured in this store where it can be, else what the profile expects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from experiments.artifacts import Artifact
from experiments.planning.plan import Plan
from experiments.store import CONFIG, Store, read_json

WORKLOAD_KEYS = (
    *("stage", "model", "protocol", "alignment", "channels", "image_size", "kept_tokens"),
    *("analysis", "settings", "grid", "augmentation"),
)
"""The parts of a configuration that decide how long a step takes."""


def estimate(plan: Plan, store: Store) -> dict[Artifact, float | None]:
    """Expected seconds of every artifact that is not done yet; None where nothing is known."""
    measured = _measured(store)
    costs: dict[Artifact, float | None] = {}
    for artifact in plan.artifacts:
        if store.is_done(artifact):
            continue
        workload = _workload(artifact.kind, artifact.config, artifact.inputs)
        per_step = measured.get(workload) or plan.profile.seconds_per_step.get(artifact.stage)
        costs[artifact] = None if per_step is None else per_step * artifact.steps
    return costs


def _measured(store: Store) -> dict[str, float]:
    """Seconds a step by workload, of the artifacts that are done."""
    found = {}
    for folder in sorted((store.root / "artifacts").glob("*-*/")):
        identity, result = read_json(folder / CONFIG), read_json(folder / "result.json")
        if identity and result:
            steps = identity["config"].get("steps", 1)
            seconds = result["provenance"]["seconds"]
            workload = _workload(identity["kind"], identity["config"], identity["inputs"])
            found[workload] = seconds / steps
    return found


def _workload(kind: str, config: Mapping[str, object], inputs: Iterable[str]) -> str:
    """Equal for artifacts whose steps take the same time; the inputs' roles tell what is evaluated."""
    parts: dict[str, object] = {name: config[name] for name in WORKLOAD_KEYS if name in config}
    parts["roles"] = sorted(inputs)
    return f"{kind} {hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()}"


def readable(seconds: float | None) -> str:
    """`45 s`, `12 min`, `3.4 h`, `12 days`; `unknown` for None."""
    if seconds is None:
        return "unknown"
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.1f} {name}" if name == "h" else f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} days"
