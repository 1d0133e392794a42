"""Carries out plans: prints them, or makes missing artifacts, tracks them and reports the results."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from experiments.artifacts.base import Artifact
from experiments.commands.cluster import submit_all
from experiments.commands.details import details, summary
from experiments.commands.durations import readable
from experiments.commands.options import ExecutorOptions, RunOptions
from experiments.commands.plans import require_images
from experiments.commands.progress import ConsoleProgress
from experiments.commands.wiring import Wiring
from experiments.executors.datasets import DataSets
from experiments.executors.events import Listener
from experiments.executors.inline import Runner, leading
from experiments.executors.process import prepare_torch
from experiments.executors.stop import Stop
from experiments.executors.watch import EndedJobs
from experiments.planning.costs import Costs, estimate
from experiments.planning.needed_weights import MissingWeightsError, require_weights
from experiments.planning.plan import Plan, combined
from experiments.planning.requests import new_request
from experiments.records import Run, load_run, load_runs
from experiments.requests import StoredRequest
from experiments.store import Store, StoreError
from experiments.tracking import delivery
from sftok.device import require_device
from sftok.distributed import SINGLE, World, joined

ASK_ABOVE_SECONDS = 2 * 3600.0


class Execution:
    """Carries out plans that share a profile and data."""

    def __init__(
        self,
        plans: Sequence[Plan],
        data: DataSets,
        how: RunOptions,
        executor: ExecutorOptions,
        wiring: Wiring,
    ):
        self._plans, self._plan = plans, plans[0] if len(plans) == 1 else combined(plans)
        self._data, self._how, self._executor, self._wiring = data, how, executor, wiring
        self._store = Store(how.store)
        self._stop = Stop()

    def carry_out(self) -> int:
        """Print the plan, or make the missing artifacts; returns 1 if any are still missing afterwards.

        Raises:
            Interrupted: a signal asked to stop.
            DataError, DeviceError, MissingWeightsError, StoreError, SlurmError: a requirement is not met.
        """
        if self._how.dry_run:
            return self._print_plan()
        if self._executor.executor != "slurm":
            require_device(self._plan.recipe.device)
        prepare_torch(self._plan.profile.threads)
        with joined(self._plan.recipe.device) as world:
            if world.size == 1:
                return self._lead(world)
            if world.is_first:
                # The launcher's SIGTERM after a failure elsewhere must not cut short the report on it.
                with self._stop.on_signals((signal.SIGTERM,)), leading(world):
                    return self._lead(world)
            with self._stop.on_signals():
                self._runner([], world).follow(self._plan.artifacts)
        return 0

    def _print_plan(self) -> int:
        costs = self._costs()
        print(summary(self._plan, costs) + "\n" + details(self._plan, self._store, costs))
        try:
            require_weights(costs)
        except MissingWeightsError as error:
            print(f"run would refuse this: {error}", file=sys.stderr)
        return 0

    def _lead(self, world: World = SINGLE) -> int:
        costs = self._costs()
        print(summary(self._plan, costs), flush=True)
        require_weights(costs)
        require_images(costs, self._data)
        if not self._how.yes and not agreed(costs):
            return 1
        self._store.prepare()
        work, *asked = self._requests()
        print("".join(what_it_replaces(request, self._store.root) for request in asked), end="")
        if self._executor.executor == "slurm":
            from experiments.executors.resources import load_cluster

            cluster = load_cluster(self._executor.cluster, self._plan.profile.name)
            submit_all(asked, self._plan.artifacts, self._store, cluster)
            self._wiring.build_report(self._store.root, load_runs(self._store))
            return 0
        if costs or not all(map(self._is_shown, asked)):
            failures = self._make(work, asked, costs, world)
        else:
            failures = {}
            for request in asked:
                delivery.sync(self._store, load_run(self._store, request))
        return self._conclude(asked, failures)

    def _conclude(self, asked: Sequence[StoredRequest], failures: Mapping[Artifact, str]) -> int:
        """Print what failed or is missing, how to decide open claims, and where the pages are."""
        for artifact, reason in failures.items():
            print(f"failed: {artifact.label} ({artifact.name}): {reason}", file=sys.stderr)
        runs = [load_run(self._store, request) for request in asked]
        holes = _missing(runs, except_for=failures)
        print("".join(map(what_would_decide, runs)), end="")
        print(f"report: {self._main_page}\nall tables: {self._page('index')}")
        return 1 if failures or holes else 0

    def _requests(self) -> list[StoredRequest]:
        """The combined request, followed by one request per experiment."""
        data = self._data.describe(self._plan.recipe.evaluation.split)
        source = self._wiring.registry.source
        return [new_request(each, self._wiring.argv, data, source) for each in (self._plan, *self._plans)]

    def _is_shown(self, request: StoredRequest) -> bool:
        """Whether an identical request is stored and has a page."""
        known = _replaced(request, self._store.root)
        same = known and known.model_copy(update={"requested": request.requested}) == request
        return bool(same) and self._page(request.name).exists()

    def _make(
        self, work: StoredRequest, asked: Sequence[StoredRequest], costs: Costs, world: World
    ) -> dict[Artifact, str]:
        """Make the missing artifacts, updating bars, pages and MLflow; returns the reasons of failures."""
        # Imported here, because it loads pandas, which a dry run does not need.
        from experiments.commands.live import LiveReport

        for request in asked:
            request.save(self._store.root)
        print(f"report: {self._main_page} (updated as results arrive)", flush=True)
        workers = self._workers()
        primary = load_run(self._store, asked[0]).primary_extractor
        progress = ConsoleProgress(
            self._plan.artifacts, Console(stderr=False), costs, primary=primary, workers=workers
        )
        live = LiveReport(self._store, self._wiring, asked)
        live.rebuild()
        listeners: list[Listener] = [EndedJobs(self._store, work.artifacts), progress, live]
        try:
            if self._executor.executor == "local":
                from experiments.executors.local import run_locally

                failures = run_locally(work, self._store, workers, listeners, self._stop)
            else:
                failures = self._runner(listeners, world).run(self._plan.artifacts)
        finally:
            progress.close()
            live.rebuild()
            live.track()
        return failures

    def _runner(self, listeners: Sequence[Listener], world: World) -> Runner:
        return Runner(self._store, self._data.load, listeners, self._stop, world=world)

    def _workers(self) -> int:
        """Number of artifacts that are made concurrently."""
        if self._executor.executor != "local":
            return 1
        from experiments.executors.local import default_workers

        return self._executor.workers or default_workers(self._plan.profile.threads)

    def _costs(self) -> Costs:
        return estimate(self._plan.artifacts, self._store, self._plan.profile.seconds_per_step)

    @property
    def _main_page(self) -> Path:
        return self._page(self._plan.experiment.name if len(self._plans) == 1 else "index")

    def _page(self, name: str) -> Path:
        return self._store.root / "report" / f"{name}.html"


def agreed(costs: Costs) -> bool:
    """Whether to start; asks the user if the run takes long or an unknown time."""
    known = sum(cost for cost in costs.values() if cost is not None)
    unknown = sum(cost is None for cost in costs.values())
    if (known <= ASK_ABOVE_SECONDS and not unknown) or not sys.stdin.isatty():
        return True
    taken = [f"about {readable(known)}"] if known else []
    taken += [f"an unknown time for {unknown} of {len(costs)} artifacts"] if unknown else []
    with contextlib.suppress(EOFError):
        if input(f"This takes {' and '.join(taken)}. Continue? [y/N] ").strip().lower() in ("y", "yes"):
            return True
    print("nothing was started; --yes skips this question", file=sys.stderr)
    return False


def what_it_replaces(request: StoredRequest, store: Path) -> str:
    """A line about results that the page will no longer show: those of other seeds, values or data."""
    known = _replaced(request, store)
    if known is None:
        return ""
    what = f"{request.name}: this replaces the run with"
    if known.overrides != request.overrides:
        values = ", ".join(f"{key}={json.dumps(value)}" for key, value in known.overrides.items())
        return f"{what} {values or 'the values of the profile'}; its artifacts are kept\n"
    if lost := set(known.seeds) - set(request.seeds):
        seeds = ", ".join(map(str, sorted(lost)))
        command = request.command_for([*known.seeds, *request.seeds])
        return f"{what} seed {seeds}; its artifacts are kept, and this shows all:\n  {command}\n"
    return ""


def _replaced(request: StoredRequest, store: Path) -> StoredRequest | None:
    """The stored request of the same experiment and profile, if it can be read."""
    with contextlib.suppress(FileNotFoundError, StoreError):
        return StoredRequest.load(store / "requests" / f"{request.name}.{request.profile}.json")
    return None


def what_would_decide(run: Run) -> str:
    """Lines about claims that need more seeds, with the command that adds them; empty if there are none."""
    if run.request.meaningless:
        return ""
    # Imported here, because it loads pandas.
    from experiments.records.verdicts import judge

    lacking = [verdict for verdict in judge(run) if verdict.primary and verdict.remedy is not None]
    lines = [f"inconclusive: {verdict.claim.text}: {verdict.reason}\n" for verdict in lacking]
    for remedy in dict.fromkeys(verdict.remedy for verdict in lacking if verdict.remedy):
        cost = "" if remedy.seconds is None else f", about {readable(remedy.seconds)} more"
        lines.append(f"to decide it ({remedy.seeds} seeds{cost}):\n  {remedy.command}\n")
    return "".join(lines)


def _missing(runs: Sequence[Run], except_for: Iterable[Artifact]) -> bool:
    """Print artifacts that are unfinished without a failure, because their files were damaged or deleted."""
    known = {artifact.name for artifact in except_for}
    missing = {
        state.name: state
        for run in runs
        for state in run.artifacts
        if state.status != "done" and state.name not in known
    }
    for state in missing.values():
        why = state.error or state.note or state.status
        print(f"missing: {state.label} ({state.name}): {why}", file=sys.stderr)
    return bool(missing)
