"""What a person is told to type where nothing was run."""

from __future__ import annotations

from pathlib import Path

import pytest
from stored_runs import EXPERIMENT, StoreMaker, with_rows

from experiments.commands.options import DEFAULT_STORE
from experiments.commands.stored import chosen_requests, not_run
from experiments.specs.registry import Registry
from experiments.store import Store, StoreError


def test_the_line_asks_for_the_same_store_and_profile() -> None:
    assert str(not_run(Store(DEFAULT_STORE), None)).endswith(
        "nothing was run here; try another --store, or: python -m experiments run table4"
    )
    assert str(not_run(Store(Path("/my runs")), "table3", "gpu")).endswith(
        "table3 was not run here at profile gpu; try another --store, or: "
        "python -m experiments run table3 --profile gpu --store '/my runs'"
    )


def test_a_sweep_is_named_with_the_profile_it_was_run_at() -> None:
    assert str(not_run(Store(DEFAULT_STORE), "sweep-table4", "gpu", ["smoke"])).endswith(
        "sweep-table4 was run here only at smoke"
    )


def test_a_file_of_your_own_may_be_named_by_any_path(tmp_path: Path) -> None:
    maker = StoreMaker(tmp_path / "runs")
    source = {"name": "mine", "path": str(tmp_path / "mine.py"), "sha256": "0" * 64}
    (tmp_path / "mine.py").write_text("")
    own = with_rows(EXPERIMENT, *EXPERIMENT.rows, name="mine")
    maker.request(own, source=source)
    registry = Registry(())
    found = chosen_requests(maker.store, registry, str(tmp_path / "mine.py"))
    assert [each.name for each in found] == ["mine"]
    with pytest.raises(StoreError, match="was not run here"):
        chosen_requests(maker.store, registry, str(tmp_path / "other.py"))
