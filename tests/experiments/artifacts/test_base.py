"""The key of an artifact: what is part of it, and what is not."""

from typing import Any

from experiments.artifacts import Artifact, artifact, artifacts_from_json, artifacts_to_json


def a_stage(**training: Any) -> Artifact:
    return artifact("stage", config={"steps": 4, "training": {"batch_size": 8, **training}}, label="a stage")


def test_how_often_work_is_saved_is_no_part_of_the_key() -> None:
    often, seldom = a_stage(checkpoint_every=2), a_stage(checkpoint_every=1000)
    assert often.key == seldom.key
    assert often.config_hash == seldom.config_hash
    assert "checkpoint_every" not in str(often.identity)


def test_what_changes_numbers_is_part_of_the_key() -> None:
    assert a_stage().key != a_stage(batch_size=9).key
    assert a_stage().key != a_stage(log_every=3).key, "the curves are part of what comes out"


def test_a_worker_still_learns_how_often_to_save() -> None:
    sent = a_stage(checkpoint_every=2)
    (received,) = artifacts_from_json(artifacts_to_json([sent])).values()
    assert received == sent
    assert received.config["training"]["checkpoint_every"] == 2
