"""The records of what was submitted."""

from __future__ import annotations

import pytest
from making import artifact, make_request

from experiments.executors import ledger
from experiments.paper import table3
from experiments.store import Store


def test_one_process_submits_at_a_time(store: Store) -> None:
    second = ledger.submitting(store)
    with ledger.submitting(store), pytest.raises(RuntimeError, match="another process is submitting"), second:
        pass


def test_the_last_submission_is_one_to_slurm_of_the_same_experiment_and_profile(store: Store) -> None:
    work = make_request(artifact("teacher", config={}, label="teacher"))
    first = ledger.new_submission(store, work)
    first.save_cluster({"teacher": {}})
    ledger.new_submission(store, work)  # of workers on this machine
    other = make_request(artifact("teacher", config={}, label="teacher"), experiment=table3.EXPERIMENT)
    ledger.new_submission(store, other).save_cluster({})
    found = ledger.last_submission(store, "table4", "smoke")
    assert found is not None
    assert found.folder == first.folder
    assert len(ledger.submissions(store)) == 2
    assert ledger.last_submission(store, "table1", "smoke") is None


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"plan": {}}'])
def test_a_submission_that_cannot_be_read_is_left_out(store: Store, content: str) -> None:
    submission = ledger.new_submission(store, make_request(artifact("teacher", config={}, label="teacher")))
    submission.save_cluster({})
    submission.request.write_text(content)
    assert ledger.submissions(store) == {}
