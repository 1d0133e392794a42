"""What a plan will cost: measured in this store where it can be, else what the profile expects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from experiments.artifacts import Artifact
from experiments.planning.plan import Plan
from experiments.store import CONFIG, Store, readable_json

WORKLOAD_KEYS = (
    *("stage", "model", "protocol", "alignment", "channels", "image_size", "kept_tokens"),
    *("analysis", "settings", "grid", "augmentation"),
)
"""The parts of a configuration that decide how long a step takes, beside the following."""

TRAINING_KEYS = ("batch_size", "gradient_accumulation", "precision")
"""Those of its training."""


def estimate(plan: Plan, store: Store) -> dict[Artifact, float | None]:
    """Expected seconds of every artifact that is not done yet; None where nothing is known."""
    measured = _measured(store)
    costs: dict[Artifact, float | None] = {}
    for artifact in plan.artifacts:
        if store.is_done(artifact):
            continue
        inputs = {role: upstream.config for role, upstream in artifact.inputs.items()}
        workload = _workload(artifact.kind, artifact.config, artifact.data, inputs)
        per_step = measured.get(workload) or plan.profile.seconds_per_step.get(artifact.stage)
        costs[artifact] = None if per_step is None else per_step * artifact.steps
    return costs


def _measured(store: Store) -> dict[str, float]:
    """Seconds a step by workload, of the artifacts that are done; of several the latest counts."""
    folders = {folder.name.rpartition("-")[2]: folder for folder in (store.root / "artifacts").glob("*-*/")}
    # An estimate is no reason to stop at a damaged file; who needs that one says so.
    identities = {key: readable_json(folder / CONFIG) for key, folder in folders.items()}
    found: dict[str, tuple[str, float]] = {}
    for key, identity in identities.items():
        result = readable_json(folders[key] / "result.json")
        if not identity or not result:
            continue
        upstream = {role: identities.get(its) or {} for role, its in identity["inputs"].items()}
        inputs = {role: each.get("config", {}) for role, each in upstream.items()}
        workload = _workload(identity["kind"], identity["config"], identity["data"], inputs)
        made = result["provenance"]
        per_step = made["seconds"] / identity["config"].get("steps", 1)
        found[workload] = max(found.get(workload, ("", 0.0)), (made.get("started", ""), per_step))
    return {workload: per_step for workload, (_, per_step) in found.items()}


def _workload(
    kind: str, config: Mapping[str, Any], data: Mapping[str, str], inputs: Mapping[str, Mapping[str, Any]]
) -> str:
    """Equal for artifacts whose steps take as long: as large, on the same data, from models as large."""
    parts: dict[str, object] = {name: config[name] for name in WORKLOAD_KEYS if name in config}
    parts["training"] = {name: config.get("training", {}).get(name) for name in TRAINING_KEYS}
    parts["data"] = dict(data)
    parts["inputs"] = {role: upstream.get("model") for role, upstream in inputs.items()}
    return f"{kind} {hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()}"


def readable(seconds: float | None) -> str:
    """`45 s`, `12 min`, `3.4 h`, `12 days`; `unknown` for None."""
    if seconds is None:
        return "unknown"
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.1f} {name}" if name == "h" else f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} days"
