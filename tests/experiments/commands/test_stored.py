"""What a person is told to type where nothing was run."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.arguments import DEFAULT_STORE
from experiments.commands.stored import not_run

LINE = "python -m experiments run table4"


def message(store: Path = DEFAULT_STORE, **options: str | None) -> str:
    profiles = ("smoke",) if options.pop("elsewhere", None) else ()
    return str(not_run(argparse.Namespace(store=store, **options), options.pop("name", None), profiles))


def test_the_line_asks_for_the_same_store_and_profile() -> None:
    assert message().endswith(
        "nothing was run here; try another --store, or: python -m experiments run table4"
    )
    assert message(Path("my runs"), name="table3", profile="gpu").endswith(
        "table3 was not run here at profile gpu; try another --store, or: "
        "python -m experiments run table3 --profile gpu --store 'my runs'"
    )


def test_a_sweep_is_at_the_profile_it_was_run_at() -> None:
    assert message(name="sweep-table4", profile="gpu", elsewhere="yes").endswith(
        "sweep-table4 was not run here at profile gpu, but at smoke"
    )
