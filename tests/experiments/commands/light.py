"""Runs a command in a process of its own, which must not load what it does not need."""

from __future__ import annotations

import subprocess
import sys

SLOW = frozenset({"torch", "mlflow", "matplotlib", "optuna", "submitit"})


def assert_light(arguments: list[str], *more: str, needed: str = "") -> None:
    """The command succeeds, and loads none of the slow libraries but the one `needed`, nor `more`."""
    script = (
        "import sys; from experiments.__main__ import main; code = main(sys.argv[1:]); "
        f"slow = {sorted({*SLOW, *more} - {needed})}; slow = set(slow) & sys.modules.keys(); "
        "sys.exit(f'loaded: {slow}' if slow else code)"
    )
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not set("╭│─") & set(done.stdout)
