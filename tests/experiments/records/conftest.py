"""A synthetic store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stored_runs import StoreMaker


@pytest.fixture
def maker(tmp_path: Path) -> Iterator[StoreMaker]:
    """Writes runs into a store."""
    made = StoreMaker(tmp_path)
    yield made
    made.close()
