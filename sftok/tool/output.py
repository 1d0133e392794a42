"""The output of commands: files that are written atomically, and progress on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sftok.io.unfinished import atomic


@contextmanager
def complete_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears at `path` (with its folders) once the block ends without an error.

    Raises:
        OSError: the file cannot be written; `path` is left unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary, temporary.open("wb") as file:
        yield file


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar if standard error is a terminal; call it with the number of new items."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda more: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda more: bar.advance(task, more)
