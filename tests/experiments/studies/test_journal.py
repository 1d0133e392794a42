"""The file in which the trials of a study are kept."""

from __future__ import annotations

import pytest
from optuna.storages.journal import JournalFileOpenLock
from searching import a_journal, a_search, drawn, make, search_with

from experiments.executors.stop import Stop
from experiments.records.study_results import JOURNAL
from experiments.store import Store
from experiments.studies.journal import Journal, mend


def test_a_torn_line_is_cut_off(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    search = a_search()
    before = search_with(make, search, store, monkeypatch, budget=2)
    path = store.root / "studies" / "tiny" / JOURNAL
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(b'{"op_code":4,"worker_id":"x')
    trials = search_with(make, search, store, monkeypatch, budget=3)
    assert drawn(trials)[:2] == drawn(before)
    assert len(trials) == 3
    assert path.read_bytes().startswith(whole)
    mend(path, JournalFileOpenLock(str(path)))
    assert len(a_journal(search, store).trials()) == 3


def test_studies_of_one_identity_in_two_folders_do_not_wait_for_each_other(store: Store) -> None:
    """As with values that change no trial, such as the device."""
    search = a_search()
    folders = [store.root / "studies" / name for name in ("plain", "other")]
    one, other = (Journal(search.study, search.identity(), each, store.root / "locks") for each in folders)
    never = Stop().requested
    with one.hand_out(2, never) as first, other.hand_out(2, never) as second:
        assert first is not None
        assert second is not None
        assert (first.number, second.number) == (0, 0)
