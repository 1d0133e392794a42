"""Where the tracking database lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.store import Store
from experiments.tracking.connection import connect


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_the_database_lies_in_the_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "a b#c 100%" / "runs")
    store.prepare()
    assert connect(store).search_experiments()
    assert (store.root / "mlflow.db").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == ["a b#c 100%"]


@pytest.mark.parametrize("name", ["per%20cent", "what?x=1"])
def test_a_place_that_mlflow_would_mistake_is_refused(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path / name)
    store.prepare()
    with pytest.raises(ValueError, match="move the store, or set MLFLOW_TRACKING_URI to a server"):
        connect(store)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert not (store.root / "mlflow.db").exists()
