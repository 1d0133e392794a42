"""Reading the log of a training, whatever a kill or a full disk left of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.records.training_log import log_lines, logged
from experiments.store import METRICS, StoreError


def test_damaged_lines_are_left_out_of_a_growing_log(tmp_path: Path) -> None:
    (tmp_path / METRICS).write_bytes(
        b'{"step": 10, "loss": 2}\n\xff\x00\n[3]\n{"lr": 1}\n{"step": 30, "loss": 1.0}\n{"st'
    )
    assert logged(tmp_path, "loss") == [(10, 2.0), (30, 1.0)]
    assert logged(tmp_path / "nothing", "loss") == []


def test_of_a_step_logged_twice_the_last_value_counts(tmp_path: Path) -> None:
    (tmp_path / METRICS).write_text(
        '{"step": 1, "loss": 4}\n{"step": 2, "loss": 9}\n{"step": 2, "loss": 3}\n'
    )
    assert logged(tmp_path, "loss") == [(1, 4.0), (2, 3.0)]


def test_a_long_log_is_read_in_part(tmp_path: Path) -> None:
    (tmp_path / METRICS).write_text("".join(f'{{"step": {step}, "loss": 1.0}}\n' for step in range(100)))
    assert len(logged(tmp_path, "loss", most_lines=10)) == 10


def test_a_damaged_line_of_a_finished_log_names_the_file(tmp_path: Path) -> None:
    (tmp_path / METRICS).write_text('{"step": 1, "loss": 4}\n{"step": 2, "lo\n')
    with pytest.raises(StoreError, match=rf"{METRICS}: line 2 is damaged; delete .* and run again"):
        list(log_lines(tmp_path))
    assert list(log_lines(tmp_path / "nothing")) == []
