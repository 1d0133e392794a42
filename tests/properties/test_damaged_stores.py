"""A store with any one file damaged in any way: every command says so in a line, and loses nothing else."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_runs import StoreMaker

from experiments.__main__ import main

NUMBERS = ["row", "seed", "subject", "metric", "extractor", "steps", "value"]


def command(store: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command in this process; a traceback is an exception here."""
    out, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(errors):
        code = main([*arguments, "--store", str(store)])
    return code, out.getvalue(), errors.getvalue()


def results(store: Path) -> tuple[int, pd.DataFrame]:
    code, out, _ = command(store, "results", "table4", "--format", "json")
    return code, pd.DataFrame(json.loads(out or "[]"), columns=[*NUMBERS, "artifact"])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished store of Table 4 with pages."""
    store = tmp_path_factory.mktemp("finished")
    StoreMaker(store).run(seeds=(0, 1))
    assert command(store, "report")[0] == 0
    return store


def cut(path: Path, random: Random) -> None:
    path.write_bytes(path.read_bytes()[: random.randrange(path.stat().st_size)])


def overwrite(path: Path, random: Random) -> None:
    content = bytearray(path.read_bytes())
    start = random.randrange(len(content))
    for place in range(start, min(start + 40, len(content))):
        content[place] = random.choice([0, 255, 32, 123])
    path.write_bytes(content)


def empty(path: Path, random: Random) -> None:
    path.write_bytes(b"")


def delete(path: Path, random: Random) -> None:
    path.unlink()


def replace_by_list(path: Path, random: Random) -> None:
    path.write_text("[]")


def replace_by_folder(path: Path, random: Random) -> None:
    path.unlink()
    path.mkdir()


def of_another_version(path: Path, random: Random) -> None:
    """Remove, rename or replace any one field, at any depth."""
    content = json.loads(path.read_text()) if path.suffix == ".json" else {}
    if not content:
        return overwrite(path, random)
    holder: Any = content
    key: Any = random.choice(sorted(holder))
    while isinstance(holder[key], dict | list) and holder[key] and random.random() < 0.8:
        holder = holder[key]
        key = random.choice(sorted(holder)) if isinstance(holder, dict) else random.randrange(len(holder))
    change = random.choice(["remove", "text", "null", "number", "unknown"])
    if change == "unknown" and isinstance(holder, dict):
        holder["unheard_of"] = 1
    elif change == "remove":
        del holder[key]
    else:
        holder[key] = {"text": "text", "null": None, "number": -1.5}.get(change, [])
    path.write_text(json.dumps(content))
    return None


HARMS: list[Callable[[Path, Random], None]] = [
    *(cut, overwrite, empty, delete, replace_by_list, replace_by_folder),
    *(of_another_version,) * 4,
]


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), harm=st.sampled_from(HARMS))
def test_any_damage_is_said_in_a_line_and_costs_no_other_number(
    finished: Path, tmp_path_factory: pytest.TempPathFactory, seed: int, harm: Callable[[Path, Random], None]
) -> None:
    store, random = tmp_path_factory.mktemp("damaged") / "store", Random(seed)
    shutil.copytree(finished, store, ignore=shutil.ignore_patterns("report"))
    files = [path for name in ("artifacts", "requests") for path in sorted((store / name).rglob("*.*"))]
    damaged = random.choice([path for path in files if path.is_file()])
    harm(damaged, random)
    _, before = results(finished)
    code, after = results(store)
    if code == 0:
        assert len(after) == len(before), "a hole is never exit code 0"
    if damaged.parent.name != "requests":
        key = damaged.parent.name.rpartition("-")[2]
        kept = [table[table.artifact != key][NUMBERS].reset_index(drop=True) for table in (before, after)]
        pd.testing.assert_frame_equal(*kept)
    commands = [["status"], ["verdicts"], ["logs", damaged.parent.name]]
    for arguments in commands + [["report"]] * (seed % 5 == 0):  # it draws, which takes a second
        code, _, errors = command(store, *arguments)
        assert code in (0, 1, 2)
        assert "Traceback" not in errors
    shutil.rmtree(store)
