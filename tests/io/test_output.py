"""Commands whose output goes to a program that reads no further."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "command", ["experiments list", "experiments show table4", "sftok info --checkpoint random:sftok-b"]
)
def test_a_reader_that_leaves_ends_the_command_without_a_word(command: str, unbuffered: str) -> None:
    started = subprocess.Popen(
        [sys.executable, "-m", *command.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONUNBUFFERED": unbuffered, "PATH": ""},
    )
    assert started.stdout is not None
    started.stdout.close()
    assert started.stderr is not None
    assert started.stderr.read() == b""
    assert started.wait() == 1
