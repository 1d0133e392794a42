"""The state of a run in words, and the time left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from experiments.records.results import ArtifactState
from experiments.records.verdicts import judge
from reports.status import claim_tally, remaining_seconds, run_status

if TYPE_CHECKING:
    from conftest import FakeStore


def _artifact(kind: str, status: Any, **values: Any) -> ArtifactState:
    return ArtifactState(kind=kind, key="k", label=kind, status=status, **values)


def test_a_waiting_artifact_takes_as_long_as_its_kind_did() -> None:
    artifacts = (
        _artifact("stage", "done", seconds=100.0),
        _artifact("stage", "running", progress=0.5, remaining_seconds=60.0),
        _artifact("stage", "waiting"),
        _artifact("stage", "failed"),
    )
    # 60 s of the running one, and (100 + 120) / 2 for the waiting one.
    assert remaining_seconds(artifacts) == 60 + 110
    assert remaining_seconds((*artifacts, _artifact("evaluation", "waiting"))) is None
    planned = _artifact("evaluation", "waiting", remaining_seconds=30.0)
    assert remaining_seconds((*artifacts, planned)) == 60 + 110 + 30
    assert remaining_seconds(()) == 0


def test_states_of_a_run(fake_store: FakeStore) -> None:
    expected = {"complete": "complete", "partial": "running", "waiting": "waiting", "failed": "failed"}
    for progress, word in expected.items():
        status = run_status(fake_store.run(progress=progress))  # type: ignore[arg-type]
        assert status.word == word
        assert status.refresh == (word != "complete")
    complete = run_status(fake_store.run())
    assert (complete.done, complete.total, complete.fraction) == (23, 23, 1.0)
    assert run_status(fake_store.run(progress="waiting")).fraction == 0
    partial = run_status(fake_store.run(progress="partial"))
    assert partial.fraction == (11 + 0.43) / 23
    assert [item.label for item in partial.running] == ["alignment, ratio-0.8, seed 0"]


def test_who_looks_at_a_page_of_queued_jobs_learns_how_it_is_brought_up_to_date(
    fake_store: FakeStore,
) -> None:
    run = fake_store.run(progress="waiting")
    assert "The same command continues" in run_status(run).sentence
    queued = (run.artifacts[0].model_copy(update={"note": "job 12: pending (Priority)"}), *run.artifacts[1:])
    sentence = run_status(run.model_copy(update={"artifacts": queued})).sentence
    assert "Cluster jobs make the rest" in sentence
    assert f"`collect {run.experiment.name}`" in sentence


def test_the_tally_counts_the_primary_feature_space(fake_store: FakeStore) -> None:
    assert claim_tally(judge(fake_store.run())) == {"agrees": 1}
    assert claim_tally(judge(fake_store.run(seeds=(0,)))) == {"inconclusive": 1}
    assert claim_tally(()) == {}
