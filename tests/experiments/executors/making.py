"""Fake artifacts and requests of them, records of fake jobs, and a listener that remembers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fake_artifacts
from fake_artifacts import Fake, FakeCodes, FakeEvaluation, FakeStage, FakeTeacher

from experiments.executors.events import Event
from experiments.executors.ledger import JobRecord
from experiments.paper import table4
from experiments.requests import StoredRequest
from experiments.specs import Experiment

KINDS: Mapping[str, type[Fake]] = {
    "teacher": FakeTeacher,
    "stage": FakeStage,
    "codes": FakeCodes,
    "evaluation": FakeEvaluation,
}
SOURCE = Path(fake_artifacts.__file__)


def artifact(
    kind: str,
    *,
    label: str,
    config: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Fake] | None = None,
    **fields: Any,
) -> Fake:
    """A fake artifact; the label tells artifacts with equal configurations apart."""
    source = next(iter((inputs or {}).values()), None)
    return KINDS[kind](label=label, config={"label": label, **(config or {})}, source=source, **fields)


def make_request(*artifacts: Fake, experiment: Experiment = table4.EXPERIMENT) -> StoredRequest:
    """A request that asks for these artifacts alone."""
    return StoredRequest(
        command="a command",
        data="no data",
        requested="2026-01-01T00:00:00+00:00",
        experiment=experiment,
        profile="smoke",
        meaningless=True,
        threads=1,
        seeds=(0,),
        overrides={},
        recipe={"data": {}},
        recipes={},
        primary_extractor="classifier",
        metrics={},
        facts={},
        source={
            "name": SOURCE.stem,
            "path": str(SOURCE),
            "sha256": hashlib.sha256(SOURCE.read_bytes()).hexdigest(),
        },
        artifacts=tuple(each.stored() for each in artifacts),
        rows=(),
        reference=None,
    )


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
