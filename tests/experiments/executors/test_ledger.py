"""The record of what was submitted."""

from __future__ import annotations

import pytest

from experiments.executors import ledger
from experiments.store import Store


def test_only_one_submits_at_a_time(store: Store) -> None:
    second = ledger.submitting(store)
    with ledger.submitting(store), pytest.raises(RuntimeError, match="another process is submitting"), second:
        pass
