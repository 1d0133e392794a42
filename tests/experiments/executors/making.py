"""Requests of fake artifacts and records of fake jobs, for executors."""

from __future__ import annotations

from experiments.artifacts import Artifact
from experiments.executors.ledger import JobRecord
from experiments.paper import table4
from experiments.planning.plan import Plan, plan
from experiments.planning.requests import Request
from experiments.profiles import PROFILES
from experiments.spec import Experiment


def make_request(*artifacts: Artifact, experiment: Experiment = table4.EXPERIMENT) -> Request:
    """A request whose plan is of these artifacts alone."""
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
    """What the ledger holds of a job that was submitted."""
    return JobRecord(job=job, submission="s", log="log", memory="4G", minutes=60, submitted="now")
