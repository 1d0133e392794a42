"""The file in which the trials of a study are kept, and what becomes of it when it is damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState
from searching import a_journal, a_search, attempts, drawn, make, record_of, search_with, temperature

from experiments.artifacts import Artifact
from experiments.artifacts.context import Context
from experiments.executors.stop import Stop
from experiments.records.study_results import JOURNAL
from experiments.store import Store, StoreError
from experiments.studies.journal import Journal


def journal_of(store: Store) -> Path:
    return store.root / "studies" / "tiny" / JOURNAL


@pytest.mark.parametrize("left", [b'{"op_code":4,"worker_id":"x', b"\0\0\0\0", b'"half of it\n\0\0'])
def test_an_unfinished_last_line_is_cut_off(store: Store, left: bytes) -> None:
    search = a_search()
    before = search_with(make, search, store, budget=2)
    path = journal_of(store)
    whole = path.read_bytes()
    path.write_bytes(whole + left)
    trials = search_with(make, search, store, budget=3)
    assert drawn(trials)[:2] == drawn(before)
    assert len(trials) == 3
    assert path.read_bytes().startswith(whole)


def half_inserted(lines: list[bytes], place: int) -> list[bytes]:
    return [*lines[:place], b'{"op_code":4,"worker_id\n', *lines[place:]]


def overwritten(lines: list[bytes], place: int) -> list[bytes]:
    return [*lines[:place], b"\xff\0\0" + lines[place][3:], *lines[place + 1 :]]


def cut(lines: list[bytes], place: int) -> list[bytes]:
    return [*lines[:place], lines[place][:9] + b"\n", *lines[place + 1 :]]


def joined(lines: list[bytes], place: int) -> list[bytes]:
    return [*lines[:place], lines[place][:-1], *lines[place + 1 :]]


def misnamed(lines: list[bytes], place: int) -> list[bytes]:
    return [*lines[:place], lines[place].replace(b"trial_id", b"trXal_id"), *lines[place + 1 :]]


@pytest.mark.parametrize("damage", [half_inserted, overwritten, cut, joined, misnamed])
def test_a_damaged_line_is_named_and_its_remedy_loses_no_trial(
    store: Store, damage: Callable[[list[bytes], int], list[bytes]]
) -> None:
    def fail_above_two(artifact: Artifact, context: Context) -> dict[str, object]:
        if artifact.kind == "evaluation" and temperature(artifact) > 2:
            raise ValueError("too hot")
        return make(artifact, context)

    search = a_search()
    before = search_with(fail_above_two, search, store)
    written = record_of(search, store)
    made = attempts(store)
    path = journal_of(store)
    path.write_bytes(b"".join(damage(path.read_bytes().splitlines(keepends=True), 10)))
    with pytest.raises(StoreError, match=r"journal\.log: line 11 is damaged .*; delete the file") as error:
        a_journal(search, store)
    assert "\n" not in str(error.value)
    path.unlink()
    trials = search_with(fail_above_two, search, store)
    assert [(each.params, each.state, each.value) for each in trials] == [
        (each.params, each.state, each.value) for each in before
    ]
    assert attempts(store) == made
    again = record_of(search, store).model_copy(update={"updated": written.updated})
    assert again.model_dump(exclude={"trials"}) == written.model_dump(exclude={"trials"})
    for restored, trial in zip(again.trials, written.trials, strict=True):
        assert restored.seconds == pytest.approx(trial.seconds)
        assert restored.model_copy(update={"seconds": trial.seconds}) == trial
    assert len(search_with(fail_above_two, search, store, budget=8)) == 8


def test_a_damaged_line_that_appears_during_the_study_is_named(store: Store) -> None:
    journal = a_journal(a_search(), store)
    with journal_of(store).open("ab") as file:
        file.write(b"{half\n")
        file.write(json.dumps({"op_code": 0}).encode() + b"\n")
    with pytest.raises(StoreError, match="line 2 is damaged"):
        journal.trials()


def test_a_trial_that_was_running_when_the_journal_was_lost_is_resumed(store: Store) -> None:
    search = a_search()
    journal = a_journal(search, store)
    with journal.hand_out(1, Stop().requested) as trial:
        assert trial is not None
        record_of(search, store)
    journal_of(store).unlink()
    (left,) = a_journal(search, store).trials()
    assert (left.state, left.params) == (TrialState.RUNNING, trial.params)
    (done,) = search_with(make, search, store, budget=1)
    assert (done.state, done.params) == (TrialState.COMPLETE, trial.params)


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
