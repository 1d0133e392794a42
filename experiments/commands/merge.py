"""`merge`: copies the results of other stores, e.g. from other machines, into one."""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from experiments.commands.options import DEFAULT_STORE, StorePath
from experiments.commands.wiring import Wired
from experiments.records import load_runs
from experiments.requests import StoredRequest
from experiments.store import Result, Store, StoreError, read_result
from sftok.io.unfinished import unfinished

TIMED = frozenset({"speed", "sampling_speed"})
"""Kinds of artifacts that measure time."""


def merge(
    stores: Annotated[tuple[Path, ...], Parameter(help="other stores, or copies of their folders")],
    /,
    *,
    store: StorePath = DEFAULT_STORE,
    wiring: Wired,
) -> int:
    """Copy finished artifacts and requests of other stores into --store.

    If two results have the same key but different numbers, the store keeps its own, and both machines are
    reported.
    """
    opened, conflicts = Store(store), 0
    for other in stores:
        if not (other / "artifacts").is_dir():
            raise StoreError(f"{other}: not a store (it has no artifacts folder)")
    opened.prepare()
    for other in stores:
        copied = equal = 0
        for folder in sorted((other / "artifacts").iterdir()):
            if folder.name.startswith("."):
                continue
            theirs, ours = _readable(folder), _readable(opened.root / "artifacts" / folder.name)
            if theirs is None:
                print(f"left out: {folder} is not finished", file=sys.stderr)
            elif ours is None:
                _copy(folder, opened.root / "artifacts" / folder.name)
                copied += 1
            elif difference := _difference(folder.name, ours, theirs):
                conflicts += 1
                print(
                    f"conflict: {folder.name}: {difference}; {opened.root} ({_machine(ours)}) keeps its own, "
                    f"not that of {other} ({_machine(theirs)})",
                    file=sys.stderr,
                )
            else:
                equal += 1
        requests = _copy_requests(other, opened.root)
        print(f"{other}: {copied} artifacts copied, {equal} here already, {requests} requests copied")
    wiring.build_report(opened.root, load_runs(opened))
    return 1 if conflicts else 0


def _readable(folder: Path) -> Result | None:
    try:
        return read_result(folder)
    except StoreError:
        return None


def _copy(source: Path, target: Path) -> None:
    """Copy an artifact atomically, replacing a damaged one."""
    draft = unfinished(target)
    try:
        shutil.copytree(source, draft)
        if target.exists():
            shutil.rmtree(target)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _copy_requests(source: Path, target: Path) -> int:
    """Copy requests for experiments not requested here, with the user's own files that they name."""
    found = 0
    for path in sorted((source / "requests").glob("*")) if (source / "requests").is_dir() else ():
        ours = target / "requests" / path.name
        if path.suffix == ".json" and ours.exists():
            print(_how_to_join(path, ours), end="", file=sys.stderr)
        elif path.is_file() and not ours.exists():
            draft = unfinished(target / "requests" / path.name)
            shutil.copyfile(path, draft)
            draft.rename(target / "requests" / path.name)
            found += path.suffix == ".json"
    return found


def _how_to_join(theirs: Path, ours: Path) -> str:
    """A line about seeds of a request that is in both stores; empty if this one has all of them."""
    with contextlib.suppress(StoreError):
        request, known = StoredRequest.load(theirs), StoredRequest.load(ours)
        if set(request.seeds) - set(known.seeds):
            command = known.command_for([*known.seeds, *request.seeds])
            return f"{request.name} was requested here with other seeds; to show all: {command}\n"
    return ""


def _difference(name: str, ours: Result, theirs: Result) -> str:
    """The first number in which two results with the same key differ; empty if there is none.

    Measured rates differ every time.
    """
    if name.partition("-")[0] in TIMED:
        return ""
    weights = [(each.model_extra or {}).get("weights") for each in (ours, theirs)]
    if weights[0] != weights[1]:
        return "the weights differ"
    one, other = ({_identity(row.model_dump()): row.value for row in each.rows} for each in (ours, theirs))
    for place in dict.fromkeys([*one, *other]):
        if one.get(place) != other.get(place) and not (_is_nan(one.get(place)) and _is_nan(other.get(place))):
            named = ", ".join(f"{key}={part}" for key, part in place if part not in (None, ""))
            return f"{named} is {one.get(place, 'missing')} and {other.get(place, 'missing')}"
    return ""


def _identity(row: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted((name, value) for name, value in row.items() if name != "value"))


def _is_nan(value: float | None) -> bool:
    return value is not None and value != value


def _machine(result: Result) -> str:
    made = result.provenance.model_dump()
    return f"{made.get('host', 'unknown host')}, {made.get('cpu', 'unknown processor')}, {made['started']}"
