"""From a store to a run: how artifacts and rows stand, and why something waits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from experiments.records import ArtifactState, Run, load_runs
from experiments.store import StoredArtifact, write_json

if TYPE_CHECKING:
    from stored_runs import StoreMaker


def state(run: Run, artifact: StoredArtifact) -> ArtifactState:
    return next(each for each in run.artifacts if each.name == artifact.name)


def of_stage(run: Run, stage: str) -> StoredArtifact:
    return next(each for each in run.request.artifacts if each.stage == stage)


def test_an_empty_store_waits_for_everything(maker: StoreMaker) -> None:
    run = maker.run(seeds=(0, 1), progress="waiting")
    assert {each.status for each in run.artifacts} == {"waiting"}
    assert {each.status for each in run.rows} == {"waiting"}
    assert (run.complete, len(run.frame)) == (False, 0)
    assert list(run.frame.columns[:3]) == ["table", "profile", "row"]


def test_a_run_is_complete_when_all_is_there(maker: StoreMaker) -> None:
    run = maker.run()
    assert run.complete
    assert {row.status for row in run.rows} == {"done"}
    assert state(run, of_stage(run, "warm-up")).seconds == 88.0
    assert run.rows[0].training_seconds == 88.0 + 402.0
    assert state(run, of_stage(run, "teacher")).shared_by == 9


def test_a_running_artifact_has_its_progress(maker: StoreMaker) -> None:
    run = maker.run(seeds=(0,), progress="partial")
    running = run.rows[1].training[1]
    assert (running.status, running.progress, running.remaining_seconds) == ("running", 0.43, 231.0)
    assert running.folder == maker.store.work_folder(run.request.by_name[running.name])
    assert [row.status for row in run.rows] == ["done", "running", "waiting"]
    maker.close()
    released = maker.load(run.request).rows[1].training[1]
    assert (released.status, released.progress) == ("waiting", None)


def test_a_failure_blocks_what_needs_it(maker: StoreMaker) -> None:
    run = maker.run(seeds=(0, 1), progress="failed")
    failed = run.rows[1].training[1]
    assert (failed.status, failed.error) == ("failed", "loss is nan at step 812")
    assert run.rows[1].evaluation.status == "blocked"
    assert run.rows[1].evaluation.note == f"blocked by {failed.label} ({failed.name})"
    assert [row.status for row in run.rows] == ["done", "failed", "done", "done", "done", "done"]


def test_a_waiting_artifact_names_its_job(maker: StoreMaker) -> None:
    run = maker.run(progress="waiting")
    stage = of_stage(run, "warm-up")
    jobs = maker.store.root / "jobs"
    jobs.mkdir()
    write_json(jobs / f"{stage.name}.json", {"job": "12", "state": "PENDING", "reason": "Priority"})
    assert state(maker.load(run.request), stage).note == "job 12: pending (Priority)"
    (jobs / f"{stage.name}.json").write_text("{")
    assert state(maker.load(run.request), stage).note is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda result: result["rows"][0].pop("metric"),
        lambda result: result["rows"][0].update(value="high"),
        lambda result: result.update(provenance={}),
        lambda result: result.clear(),
        None,
    ],
    ids=["no metric", "text for a number", "no provenance", "empty", "cut"],
)
def test_a_damaged_result_is_a_failure_and_hides_nothing_else(maker: StoreMaker, damage: Any) -> None:
    run = maker.run(seeds=(0,))
    whole = len(run.frame)
    path = (run.rows[1].evaluation.folder or maker.store.root) / "result.json"
    if damage is None:
        path.write_text(path.read_text()[:100])
    else:
        content = json.loads(path.read_text())
        damage(content)
        path.write_text(json.dumps(content))
    found = maker.load(run.request)
    broken = found.rows[1].evaluation
    assert broken.status == "failed"
    assert str(path) in (broken.error or "")
    assert len((broken.error or "").splitlines()) == 1
    assert [row.status for row in found.rows] == ["done", "failed", "done"]
    assert len(found.frame) == whole - 21


def test_a_request_that_names_what_it_does_not_describe_is_left_out(
    maker: StoreMaker, caplog: pytest.LogCaptureFixture
) -> None:
    maker.request(profile="gpu")
    request = maker.request()
    path = maker.store.root / "requests" / "table4.cpu.json"
    path.write_text(path.read_text().replace('"row": "ratio-0.5"', '"row": "ratio-9"'))
    assert [run.request.profile for run in load_runs(maker.store)] == ["gpu"]
    assert f"request {request.name}.cpu.json: damaged ('ratio-9' is unknown); delete it" in caplog.text


def test_metrics_describe_themselves(maker: StoreMaker) -> None:
    run = maker.run(seeds=(0,))
    assert (run.metric("rfid").heading, run.metric("psnr").heading) == ("rFID ↓", "PSNR (dB) ↑")
    assert run.metric("codebook_usage").heading == "codebook_usage", "nobody described it"
    undescribed = maker.run(seeds=(0,), metrics={"kid": {"label": 3}})
    assert (undescribed.metric("kid").label, undescribed.metric("psnr").label) == ("kid", "PSNR")
