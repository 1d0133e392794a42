"""Work of fake artifacts, records of fake jobs, and a listener that remembers, for the tests of executors."""

from __future__ import annotations

from experiments.artifacts import Artifact, artifacts_to_json
from experiments.executors.events import Event
from experiments.executors.ledger import JobRecord
from experiments.executors.work import Work
from experiments.paper import table4
from experiments.planning.plan import Plan, plan
from experiments.planning.requests import Request
from experiments.profiles import PROFILES
from experiments.spec import Experiment


def make_work(*artifacts: Artifact, experiment: str = "table4") -> Work:
    """The work of a request that asks for these artifacts alone."""
    fields = {
        "experiment": {"name": experiment},
        "profile": {"name": "smoke", "threads": 1},
        "recipe": {"data": {}},
        "artifacts": artifacts_to_json(artifacts),
    }
    return Work({"plan": fields})


def make_request(*artifacts: Artifact, experiment: Experiment = table4.EXPERIMENT) -> Request:
    """A whole request of these artifacts, for the commands that show it."""
    real = plan(experiment, PROFILES["smoke"], (0,), {}, {"train": "", "test": ""})
    fake = Plan(
        experiment=real.experiment,
        profile=real.profile,
        seeds=(0,),
        overrides={},
        recipe=real.recipe,
        artifacts=artifacts,
        rows=(),
        reference=artifacts[0],
    )
    return Request(fake, "a command", "no data", "2026-01-01T00:00:00+00:00")


def job_record(job: str) -> JobRecord:
    """What the ledger has about a job that was submitted."""
    return JobRecord(job=job, submission="s", log="log", memory="4G", minutes=60, submitted="now")


class Recorder:
    """A listener that remembers which events happened to which artifacts."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def __call__(self, event: Event) -> None:
        self.seen.append((type(event).__name__, event.artifact.label))

    def labels(self, kind: str) -> list[str]:
        """The labels of the artifacts with an event of `kind`, in order."""
        return [label for seen, label in self.seen if seen == kind]
