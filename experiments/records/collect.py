"""From the store to records: what is known of each request, complete or not. Trains nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from experiments import claims
from experiments.artifacts import Artifact
from experiments.executors.ledger import job_of
from experiments.planning.plan import Plan
from experiments.planning.requests import Request, stored_requests
from experiments.planning.rows import PlannedRow
from experiments.profiles import PROFILES
from experiments.recipe import resolve
from experiments.records.measured import curve_ends, stage_costs, training_hours
from experiments.records.results import (
    ArtifactState,
    ResultRow,
    RowRun,
    Sampling,
    SamplingPoint,
    StageCost,
    Status,
    TableRun,
)
from experiments.settings import setting_lines
from experiments.store import Store, StoreError

BLOCKED = "blocked by"


def table_runs(store: Store) -> list[TableRun]:
    """Every request of the store as it stands now, the latest first."""
    return [table_run(store, request) for request in stored_requests(store)]


def table_run(store: Store, request: Request) -> TableRun:
    """One request as it stands now."""
    plan = request.plan
    asks_costs = plan.experiment.costs
    states: dict[Artifact, ArtifactState] = {}
    for artifact in plan.artifacts:
        states[artifact] = _state(store, plan, artifact, states)
    return TableRun(
        experiment=plan.experiment,
        profile=plan.profile.name,
        meaningless=plan.profile.meaningless,
        seeds=plan.seeds,
        overrides=dict(plan.overrides),
        data=request.data,
        command=request.command,
        requested=request.requested,
        primary_extractor=plan.recipe.evaluation.primary.label,
        artifacts=tuple(states.values()),
        rows=tuple(_row_run(store, plan, row, states) for row in plan.rows),
        references=_references(store, plan),
        config=plan.recipe.model_dump(mode="json"),
        complete=all(state.status == "done" for state in states.values()),
        costs=tuple(cost for row in plan.rows for cost in _costs(store, plan, row)) if asks_costs else (),
        settings=setting_lines(plan.experiment, plan.recipe),
    )


def _state(
    store: Store, plan: Plan, artifact: Artifact, earlier: Mapping[Artifact, ArtifactState]
) -> ArtifactState:
    failure = store.failure(artifact) or {}
    try:
        result = store.result(artifact)
    except StoreError as damage:
        result, failure = None, {"reason": str(damage)}
    progress = store.progress(artifact) or {}
    status: Status = "waiting"
    folder = None
    if result is not None:
        status, folder = "done", store.folder(artifact)
    elif claims.owner(store.claim_path(artifact)):
        status, folder = "running", store.work_folder(artifact)
    elif failure:
        status = "failed"
    provenance = (result or {}).get("provenance", {})
    running = status == "running" and bool(progress.get("total"))
    return ArtifactState(
        kind=artifact.kind,
        stage=artifact.stage,
        key=artifact.key,
        label=artifact.label,
        status=status,
        progress=progress["done"] / progress["total"] if running else None,
        remaining_seconds=progress.get("remaining_seconds") if running else None,
        error=failure.get("reason") if status == "failed" else None,
        note=_note(store, artifact, earlier) if status == "waiting" else None,
        seconds=provenance.get("seconds"),
        shared_by=plan.users(artifact),
        folder=folder,
        provenance=provenance,
    )


def _note(store: Store, artifact: Artifact, earlier: Mapping[Artifact, ArtifactState]) -> str | None:
    for upstream in artifact.inputs.values():
        state = earlier[upstream]
        if state.status == "failed":
            return f"{BLOCKED} {upstream.label} ({upstream.name})"
        if state.note is not None and state.note.startswith(BLOCKED):
            return state.note
    job = job_of(store, artifact)
    return job.note if job is not None else None


def _row_run(store: Store, plan: Plan, row: PlannedRow, states: dict[Artifact, ArtifactState]) -> RowRun:
    training = tuple(states[artifact] for artifact in row.training)
    evaluation, *analyses = (states[artifact] for artifact in row.measurements)
    statuses = [part.status for part in (*training, evaluation, *analyses)]
    status: Status = "waiting"
    if all(part.status == "done" for part in (evaluation, *analyses)):
        status = "done"
    elif any(states[artifact].status == "failed" for artifact in row.artifacts):
        status = "failed"
    elif "running" in statuses:
        status = "running"
    return RowRun(
        row=row.row,
        seed=row.seed,
        status=status,
        evaluation=evaluation,
        analyses=tuple(analyses),
        training=training,
        protocol=(store.readable_result(row.evaluation) or {}).get("protocol", {}),
        results=(*_results(store, plan, row), *_derived(store, plan, row)),
        sampling=_sampling(store, row),
        facts=_facts(plan, row),
    )


def _sampling(store: Store, row: PlannedRow) -> Sampling | None:
    """How a generator's guidance was chosen, once it is."""
    guidance = row.evaluation.inputs.get("guidance")
    result = store.readable_result(guidance) if guidance else None
    if result is None:
        return None
    points = {
        (point["guidance_schedule"], point["guidance_scale"], point["temperature"]): point["gfid"]
        for point in result["points"]
    }
    made = {
        place: SamplingPoint(schedule=place[0], scale=place[1], temperature=place[2], gfid=gfid)
        for place, gfid in points.items()
    }
    chosen = result["chosen"]
    place = (chosen["guidance_schedule"], chosen["guidance_scale"], chosen["temperature"])
    return Sampling(
        points=tuple(made.values()),
        chosen=made[place],
        seed=row.evaluation.config["protocol"]["seed"],
        **{name: result[name] for name in ("extractor", "reference", "n_images")},
    )


def _facts(plan: Plan, row: PlannedRow) -> dict[str, str]:
    """What Table 1 says of a system, for the row as it is at this profile."""
    recipe = plan.recipe_of(row.row)
    if plan.experiment.row(row.row).subject == "teacher":
        tokens, codes = recipe.teacher_config().num_codes, recipe.teacher.codebook_size
    else:
        tokens, codes = recipe.kept_tokens, recipe.tokenizer.codebook_size
    return {"Token length": str(tokens), "#Code": f"{codes:,}"}


def _derived(store: Store, plan: Plan, row: PlannedRow) -> Iterator[ResultRow]:
    """The numbers of a row that come from its training rather than from its evaluation."""
    hours = training_hours(store, row) if plan.experiment.costs else ()
    for found in (*curve_ends(store, plan, row), *hours):
        number = {"metric": found.metric, "value": found.value, "n_images": found.n_images}
        nowhere = {"steps": None, "temperature": None, "extractor": ""}
        yield _result_row(plan, found.artifact, row.row, row.seed, number | nowhere)


def _costs(store: Store, plan: Plan, row: PlannedRow) -> Iterator[StageCost]:
    paper = PROFILES["paper"]
    at_full_size = resolve(paper.overlay, paper.overlay_of(plan.experiment.row(row.row)))
    return stage_costs(store, row, plan.recipe_of(row.row), at_full_size)


def _references(store: Store, plan: Plan) -> tuple[ResultRow, ...]:
    if plan.reference is None:
        return ()
    result = store.readable_result(plan.reference) or {}
    return tuple(
        _result_row(plan, plan.reference, measured["subject"], 0, measured)
        for measured in result.get("rows", ())
    )


def _results(store: Store, plan: Plan, row: PlannedRow) -> tuple[ResultRow, ...]:
    """What was measured of the row's subject; a teacher's evaluation also holds the real images."""
    of_spec = plan.experiment.row(row.row)
    subject = "generation" if of_spec.measures == "generation" else of_spec.subject
    return tuple(
        _result_row(plan, source, row.row, row.seed, measured)
        for source in row.measurements
        for measured in (store.readable_result(source) or {}).get("rows", ())
        if measured["subject"] == subject
    )


def _result_row(plan: Plan, evaluation: Artifact, row: str, seed: int, measured: dict[str, Any]) -> ResultRow:
    return ResultRow(
        table=plan.experiment.name,
        row=row,
        seed=seed,
        profile=plan.profile.name,
        artifact=evaluation.key,
        **{name: value for name, value in measured.items() if name != "subject"},
    )
