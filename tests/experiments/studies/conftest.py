"""Quick polls, a store, and the helpers of this folder made importable."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from experiments.artifacts import all_kinds
from experiments.executors import inline
from experiments.store import Store
from experiments.studies import journal as journals


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(inline, "POLL_SECONDS", 0.02)


@pytest.fixture(autouse=True)
def real_makers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test makes artifacts with, afterwards they make themselves again."""
    for kind in all_kinds().values():
        monkeypatch.setattr(kind, "make", kind.make)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "runs")
    store.prepare()
    return store
