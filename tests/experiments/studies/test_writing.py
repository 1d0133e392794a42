"""What a study leaves for its page and for `--overlay`."""

from __future__ import annotations

from typing import cast

import pytest
from searching import a_journal, a_search, make, search_with

from experiments.records.study_results import stored_studies
from experiments.store import Store
from experiments.studies.writing import write_record


def test_the_record(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    search = a_search()
    trials = search_with(make, search, store, monkeypatch)
    journal = a_journal(search, store)
    folder = store.root / "studies" / "tiny"
    write_record(search, journal, folder, 6, "data", "a command", ["--store", "somewhere"])
    (record,) = stored_studies(store.root)
    best = min(trials, key=lambda trial: cast(float, trial.value))
    assert record.best == best.number
    assert record.overlay == {"evaluation.temperature": best.params["temperature"]}
    assert record.best_command.startswith("python -m experiments run table4 --profile smoke --overlay ")
    assert record.extractor == "classifier"
    assert record.importance == {"temperature": 1.0}
    assert [trial.value for trial in record.trials] == [trial.value for trial in trials]
