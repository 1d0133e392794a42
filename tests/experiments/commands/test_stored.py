"""What a person is told to type where nothing was run."""

from __future__ import annotations

from pathlib import Path

from experiments.commands.options import DEFAULT_STORE
from experiments.commands.stored import not_run
from experiments.store import Store


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
