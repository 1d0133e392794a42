"""The artifacts of a plan, a line each, as a dry run prints them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from experiments.artifacts import Artifact
from experiments.planning.costs import readable
from experiments.planning.plan import Plan
from experiments.store import Store

SEEDS_IN_FULL = 3
"""With more of them, artifacts that differ in nothing but the seed share a line."""


def details(plan: Plan, store: Store, costs: Mapping[Artifact, float | None]) -> str:
    """What each artifact is, its cost, and what it is made from."""
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
    return "\n".join([*lines, f"  (--seeds {first}, names every artifact of seed {first})"])


def numbers(values: Sequence[int]) -> str:
    """`0 to 4, 7` for 0, 1, 2, 3, 4, 7."""
    ordered = sorted(values)
    ends = [left for left, right in pairwise(ordered) if right > left + 1] + ordered[-1:]
    starts = ordered[:1] + [right for left, right in pairwise(ordered) if right > left + 1]
    spans = zip(starts, ends, strict=True)
    return ", ".join(str(start) if start == end else f"{start} to {end}" for start, end in spans)


def _line(plan: Plan, artifact: Artifact, store: Store, costs: Mapping[Artifact, float | None]) -> str:
    cost = "done" if store.is_done(artifact) else readable(costs[artifact])
    inputs = ", ".join(upstream.name for upstream in artifact.inputs.values())
    shared = f", shared by {plan.users(artifact)}" if plan.users(artifact) > 1 else ""
    return f"  {artifact.name}  {artifact.label}: {cost}{shared}" + (f"; from {inputs}" if inputs else "")


def _shared_line(
    plan: Plan, label: str, members: Iterable[Artifact], costs: Mapping[Artifact, float | None]
) -> str:
    group = list(members)
    left = [costs[artifact] for artifact in group if artifact in costs]
    known = [cost for cost in left if cost is not None]
    total = "nothing to make" if not left else readable(sum(known) if len(known) == len(left) else None)
    done = f", {len(group) - len(left)} done" if len(left) < len(group) else ""
    rows = max(plan.users(artifact) for artifact in group)
    shared = f", each shared by {rows}" if rows > 1 else ""
    what = f"{group[0].kind}  {label}, seeds {numbers(plan.seeds)}"
    return f"  {what}: {len(group)} artifacts{done}, {total}{shared}"


def _without_seed(plan: Plan) -> dict[Artifact, str]:
    """The labels, but for the seed, of what each seed has of its own."""
    return dict(_of_one_seed(plan))


def _of_one_seed(plan: Plan) -> Iterator[tuple[Artifact, str]]:
    for row in plan.rows:
        for artifact in row.artifacts:
            ending = f", seed {row.seed}"
            if artifact.label.endswith(ending):
                yield artifact, artifact.label.removesuffix(ending)
