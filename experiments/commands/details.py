"""The output of a dry run: a summary of the plan, and one line per artifact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from experiments.artifacts.base import Artifact
from experiments.commands.durations import readable
from experiments.planning.costs import Costs, total
from experiments.planning.plan import Plan
from experiments.store import Store

SEEDS_IN_FULL = 3
"""With more seeds, artifacts that differ only in the seed share a line."""


def summary(plan: Plan, costs: Costs) -> str:
    """Summarize the plan: its artifacts, how many are shared, and the estimated time for the missing ones."""
    saved = plan.unshared_count - len(plan.artifacts)
    shared = sum(plan.users[artifact] > 1 for artifact in plan.artifacts)
    # The extra time that the missing artifacts would take if rows did not share them.
    again = sum((cost or 0.0) * max(0, plan.users[artifact] - 1) for artifact, cost in costs.items())
    saved_time = f", {readable(again)} of work" if again else ""
    return (
        f"{plan.experiment.name} ({plan.experiment.source}) at profile {plan.profile.name}, "
        f"{len(plan.seeds)} seed{'s' * (len(plan.seeds) > 1)}: {len(plan.artifacts)} artifacts, "
        f"{shared} of them shared ({saved} saved by sharing{saved_time}), "
        f"{len(plan.artifacts) - len(costs)} done, "
        f"{len(costs)} to make in {_about(total(costs))}"
    )


def _about(seconds: float | None) -> str:
    return "an unknown time" if seconds is None else f"about {readable(seconds)}"


def details(plan: Plan, store: Store, costs: Costs) -> str:
    """Describe each artifact: its label, its cost and its inputs."""
    if len(plan.seeds) <= SEEDS_IN_FULL:
        return "\n".join(_line(plan, artifact, store, costs) for artifact in plan.artifacts)
    named = _without_seed(plan)
    groups: dict[str, list[Artifact]] = {}
    for artifact in plan.artifacts:
        groups.setdefault(named.get(artifact, artifact.name), []).append(artifact)
    lines = [
        _shared_line(plan, label, members, costs)
        if label in named.values()
        else _line(plan, members[0], store, costs)
        for label, members in groups.items()
    ]
    first = plan.seeds[0]
    return "\n".join([*lines, f"  (--seeds {first}, lists every artifact of seed {first})"])


def numbers(values: Sequence[int]) -> str:
    """`0 to 4, 7` for 0, 1, 2, 3, 4, 7."""
    ordered = sorted(values)
    ends = [left for left, right in pairwise(ordered) if right > left + 1] + ordered[-1:]
    starts = ordered[:1] + [right for left, right in pairwise(ordered) if right > left + 1]
    spans = zip(starts, ends, strict=True)
    return ", ".join(str(start) if start == end else f"{start} to {end}" for start, end in spans)


def _line(plan: Plan, artifact: Artifact, store: Store, costs: Costs) -> str:
    cost = "done" if store.is_done(artifact) else readable(costs[artifact])
    inputs = ", ".join(upstream.name for upstream in artifact.inputs.values())
    shared = f", shared by {plan.users[artifact]}" if plan.users[artifact] > 1 else ""
    return f"  {artifact.name}  {artifact.label}: {cost}{shared}" + (f"; from {inputs}" if inputs else "")


def _shared_line(plan: Plan, label: str, members: Iterable[Artifact], costs: Costs) -> str:
    group = list(members)
    left = [artifact for artifact in group if artifact in costs]
    cost = readable(total({artifact: costs[artifact] for artifact in left})) if left else "nothing to make"
    done = f", {len(group) - len(left)} done" if len(left) < len(group) else ""
    rows = max(plan.users[artifact] for artifact in group)
    shared = f", each shared by {rows}" if rows > 1 else ""
    what = f"{group[0].kind}  {label}, seeds {numbers(plan.seeds)}"
    return f"  {what}: {len(group)} artifacts{done}, {cost}{shared}"


def _without_seed(plan: Plan) -> dict[Artifact, str]:
    """The labels, without the seed, of the artifacts that each seed makes for itself."""
    return {
        artifact: artifact.label.removesuffix(f", seed {row.seed}")
        for row in plan.rows
        for artifact in row.artifacts
        if artifact.label.endswith(f", seed {row.seed}")
    }
