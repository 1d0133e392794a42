"""The state of a run in words, and the time left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from experiments.records import ArtifactState
from experiments.store import write_json
from reports.status import remaining_seconds, run_status

if TYPE_CHECKING:
    from stored_runs import StoreMaker


def artifact(kind: str, status: Any, **values: Any) -> ArtifactState:
    return ArtifactState(name=f"{kind}-k", kind=kind, key="k", label=kind, status=status, **values)


def test_a_waiting_artifact_takes_as_long_as_its_kind_did() -> None:
    artifacts = (
        artifact("stage", "done", seconds=100.0),
        artifact("stage", "running", progress=0.5, remaining_seconds=60.0),
        artifact("stage", "waiting"),
        artifact("stage", "failed"),
    )
    # 60 s of the running one, and (100 + 120) / 2 for the waiting one.
    assert remaining_seconds(artifacts) == 60 + 110
    assert remaining_seconds((*artifacts, artifact("evaluation", "waiting"))) is None
    planned = artifact("evaluation", "waiting", remaining_seconds=30.0)
    assert remaining_seconds((*artifacts, planned)) == 60 + 110 + 30
    assert remaining_seconds(()) == 0


@pytest.mark.parametrize(
    ("progress", "word", "sentence"),
    [
        ("complete", "complete", "24 artifacts, 1 h 18 min of computing."),
        ("partial", "running", "12 of 24 artifacts done, about 33 min left."),
        (
            "waiting",
            "waiting",
            "0 of 24 artifacts done, nothing is running. The same command continues from here.",
        ),
        ("failed", "failed", "22 of 24 artifacts done, 1 failed, nothing is running. The same command keeps"),
    ],
)
def test_states_of_a_run(maker: StoreMaker, progress: Any, word: str, sentence: str) -> None:
    status = run_status(maker.run(progress=progress))
    assert status.word == word
    assert status.sentence.startswith(sentence)
    assert (status.refresh is None) == (word == "complete")
    fractions = {"complete": 1.0, "running": 12.43 / 24, "waiting": 0.0, "failed": 22 / 24}
    assert status.fraction == pytest.approx(fractions[word])
    assert len(status.running) == (word == "running")


def test_a_page_of_queued_jobs_says_how_to_bring_it_up_to_date(maker: StoreMaker) -> None:
    run = maker.run(progress="waiting")
    (maker.store.root / "jobs").mkdir()
    write_json(maker.store.root / "jobs" / f"{run.artifacts[0].name}.json", {"job": "12"})
    sentence = run_status(maker.load(run.request)).sentence
    assert "Cluster jobs compute the rest" in sentence
    assert "`collect table4`" in sentence
