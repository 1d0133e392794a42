"""`run`: plan, make what is missing, track it and report it."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
import time
from collections.abc import Mapping, Sequence

from rich.console import Console

from experiments.artifacts import Artifact
from experiments.commands import executors
from experiments.commands.details import details
from experiments.commands.planning import make_plans, require_images
from experiments.commands.progress import ConsoleProgress
from experiments.commands.wiring import Wiring
from experiments.executors.datasets import DataSets
from experiments.executors.events import Event, Finished, Progress, Waiting
from experiments.executors.inline import Runner, leading
from experiments.executors.process import prepare_torch
from experiments.executors.stop import Stop
from experiments.planning.combined import combined
from experiments.planning.costs import estimate, readable
from experiments.planning.needed_weights import MissingWeightsError, require_weights
from experiments.planning.plan import Plan
from experiments.planning.requests import Request, new_request
from experiments.records.collect import table_runs
from experiments.store import Store
from experiments.tracking import delivery
from sftok.device import require_device
from sftok.distributed import World, joined

ASK_ABOVE_SECONDS = 2 * 3600.0
REPORT_EVERY_SECONDS = 60.0

log = logging.getLogger(__name__)


def run(options: argparse.Namespace, argv: list[str], wiring: Wiring) -> int:
    """Make everything that the experiment needs and is not there yet.

    Started in several processes (torchrun), the first does so and the others help it to train.
    """
    executors.check_options(options)
    plans, data = make_plans(options, wiring.spec_packages)
    return carry_out(options, argv, wiring, plans, data)


def carry_out(
    options: argparse.Namespace, argv: list[str], wiring: Wiring, plans: Sequence[Plan], data: DataSets
) -> int:
    """Print the plans, or make, track and report them."""
    plan = plans[0] if len(plans) == 1 else combined(plans)
    store = Store(options.store)
    if options.dry_run:
        costs = estimate(plan, store)
        print(_summary(plan, costs) + "\n" + details(plan, store, costs))
        _say_what_is_missing(costs)
        return 0
    if options.executor != "slurm":
        require_device(plan.recipe.device)
    prepare_torch(plan.profile.threads)
    stop = Stop()
    with joined(plan.recipe.device) as world:
        if world.size == 1:
            return _lead(options, argv, wiring, plans, data, stop, world)
        if world.is_first:
            # The launcher's SIGTERM after a failure elsewhere must not cut short what is said of it.
            with stop.on_signals((signal.SIGTERM,)), leading(world):
                return _lead(options, argv, wiring, plans, data, stop, world)
        with stop.on_signals():
            Runner(store, data.load, stop=stop, world=world).follow(plan.artifacts)
        return 0


def _lead(
    options: argparse.Namespace,
    argv: list[str],
    wiring: Wiring,
    plans: Sequence[Plan],
    data: DataSets,
    stop: Stop,
    world: World,
) -> int:
    plan = plans[0] if len(plans) == 1 else combined(plans)
    store = Store(options.store)
    costs = estimate(plan, store)
    print(_summary(plan, costs), flush=True)
    require_weights(costs)
    require_images(costs, data)
    if not options.yes and not _agreed(costs):
        return 1
    store.prepare()
    described = data.describe(plan.recipe.evaluation.split)
    work, *asked = (new_request(each, argv, described) for each in (plan, *plans))
    if options.executor == "slurm":
        return executors.run_on_cluster(options, asked, store, wiring)
    for request in asked:
        request.save(store)
    console = Console(stderr=False)
    progress = ConsoleProgress(plan, console, costs, executors.at_once(options, plan.profile))
    live = LiveReport(store, wiring, asked)
    live.try_rebuild()
    page = store.root / "report" / f"{'index' if len(plans) > 1 else plan.experiment.name}.html"
    print(f"report: {page} (fills as results come)", flush=True)
    try:
        failures = executors.run_here(options, work, store, data, [progress, live], stop, world)
    except BaseException:
        # What ended the run must not be hidden by a page that cannot be written either.
        live.try_rebuild()
        raise
    finally:
        progress.close()
        live.track()
    live.rebuild()
    for artifact, reason in failures.items():
        print(f"failed: {artifact.label} ({artifact.name}): {reason}", file=sys.stderr)
    print(f"report: {page}\nall tables: {store.root / 'report' / 'index.html'}")
    return 1 if failures else 0


class LiveReport:
    """A listener that keeps the pages and the tracker up to date while results come."""

    def __init__(self, store: Store, wiring: Wiring, requests: Sequence[Request]):
        self._store, self._wiring, self._requests = store, wiring, requests
        self._built = 0.0

    def rebuild(self) -> None:
        """Build the pages now."""
        self._built = time.monotonic()
        self._wiring.build_report(self._store.root, table_runs(self._store))

    def track(self) -> None:
        """Deliver what is finished to the tracker."""
        for request in self._requests:
            delivery.sync(self._store, request)

    def try_rebuild(self) -> None:
        """Build the pages; hours of training must not end because a page could not be drawn."""
        try:
            self.rebuild()
        except OSError as error:
            log.warning("the report could not be written now (%s); the run goes on", error)
        except Exception:
            log.exception("the report could not be built now; the run goes on")

    def __call__(self, event: Event) -> None:
        """Show what happened; progress only now and then."""
        if isinstance(event, Waiting):
            return
        if isinstance(event, Progress) and time.monotonic() - self._built <= REPORT_EVERY_SECONDS:
            return
        if isinstance(event, Finished) and event.artifact.kind in ("evaluation", "analysis", "generation"):
            self.track()
        self.try_rebuild()


def _summary(plan: Plan, costs: Mapping[Artifact, float | None]) -> str:
    saved = plan.unshared_count - len(plan.artifacts)
    shared = sum(plan.users(artifact) > 1 for artifact in plan.artifacts)
    return (
        f"{plan.experiment.name} ({plan.experiment.source}) at profile {plan.profile.name}, "
        f"{len(plan.seeds)} seed{'s' * (len(plan.seeds) > 1)}: {len(plan.artifacts)} artifacts, "
        f"{shared} of them shared ({saved} saved by sharing{_saved_time(plan, costs)}), "
        f"{len(plan.artifacts) - len(costs)} done, "
        f"{len(costs)} to make in about {readable(_total(costs))}"
    )


def _saved_time(plan: Plan, costs: Mapping[Artifact, float | None]) -> str:
    """What the rows would take longer if each made its own, as far as it is still to be made."""
    again = {artifact: plan.users(artifact) - 1 for artifact in costs}
    saved = [(costs[artifact] or 0.0) * times for artifact, times in again.items() if times > 0]
    return f", {readable(sum(saved))} of work" if sum(saved) else ""


def _say_what_is_missing(artifacts: Mapping[Artifact, float | None]) -> None:
    try:
        require_weights(artifacts)
    except MissingWeightsError as error:
        print(f"run would refuse this: {error}", file=sys.stderr)


def _total(costs: Mapping[Artifact, float | None]) -> float | None:
    known = [cost for cost in costs.values() if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def _agreed(costs: Mapping[Artifact, float | None]) -> bool:
    """Whether to begin: asked of a person if it is long, or if nobody can say how long."""
    known = sum(cost for cost in costs.values() if cost is not None)
    unknown = sum(cost is None for cost in costs.values())
    if (known <= ASK_ABOVE_SECONDS and not unknown) or not sys.stdin.isatty():
        return True
    taken = [f"about {readable(known)}"] if known else []
    taken += [f"a time that is not known yet for {unknown} of {len(costs)} artifacts"] if unknown else []
    with contextlib.suppress(EOFError):
        if input(f"This takes {' and '.join(taken)}. Go on? [y/N] ").strip().lower() in ("y", "yes"):
            return True
    print("nothing was begun; --yes does not ask", file=sys.stderr)
    return False
