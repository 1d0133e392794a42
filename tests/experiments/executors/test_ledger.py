"""The record of what was submitted."""

from __future__ import annotations

import pytest
from making import make_request

from experiments.artifacts import artifact
from experiments.executors import ledger
from experiments.paper import table1, table3
from experiments.store import Store


def test_only_one_submits_at_a_time(store: Store) -> None:
    second = ledger.submitting(store)
    with ledger.submitting(store), pytest.raises(RuntimeError, match="another process is submitting"), second:
        pass


def test_the_last_submission_is_one_to_slurm_of_the_same_experiment_and_profile(store: Store) -> None:
    request = make_request(artifact("teacher", config={}, label="teacher"))
    first = ledger.new_submission(store, request)
    first.save_cluster({"teacher": {}})
    ledger.new_submission(store, request)  # of workers on this machine
    other = make_request(artifact("teacher", config={}, label="teacher"), experiment=table3.EXPERIMENT)
    ledger.new_submission(store, other).save_cluster({})
    found = ledger.last_submission(store, request)
    assert found is not None
    assert found.folder == first.folder
    assert len(ledger.submissions(store)) == 2
    never = make_request(artifact("teacher", config={}, label="teacher"), experiment=table1.EXPERIMENT)
    assert ledger.last_submission(store, never) is None
