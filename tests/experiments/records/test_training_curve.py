"""Reading the curve of a training, whatever a kill or a full disk left of it."""

from __future__ import annotations

from pathlib import Path

from experiments.records.training_curve import logged
from experiments.store import METRICS


def test_a_torn_line_is_left_out(tmp_path: Path) -> None:
    (tmp_path / METRICS).write_text(
        '{"step": 10, "loss": 2.0}\n{"step": 20, "lo\n{"step": 30, "loss": 1.0}\n'
    )
    assert logged(tmp_path, "loss") == [(10, 2.0), (30, 1.0)]
    assert logged(tmp_path / "nothing", "loss") == []
