"""A synthetic store, and the helper that writes it made importable."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from stored_runs import StoreMaker


@pytest.fixture
def maker(tmp_path: Path) -> Iterator[StoreMaker]:
    """Writes runs into a store."""
    made = StoreMaker(tmp_path)
    yield made
    made.close()
