"""Entry point: `python -m experiments`. Wires specs, planning, running, tracking and reports together.

Nothing imports this module. Exit codes: 0 everything requested is done, 1 some of it failed (or the reader of
the output has gone), 2 the input is wrong, 130 stopped by a signal (the same command resumes).
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sftok.io.output import reader_left

if TYPE_CHECKING:
    import pandas as pd

    from experiments.records import Run

SPECS = ("experiments.paper", "ablations")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Where the output cannot encode "±", print an escape sequence instead of failing.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return _main(argv)
    except KeyboardInterrupt:
        # Also raised while modules are imported, which takes seconds.
        print(f"{' '.join(argv[:1])}: stopped", file=sys.stderr)
        return 130


def _main(argv: Sequence[str]) -> int:
    from sftok.config import ConfigError

    try:
        from experiments import commands
        from experiments.specs.registry import Registry
    except ConfigError as error:  # an invalid file among the profiles
        print(f"experiments: {error}", file=sys.stderr)
        return 2
    wiring = commands.Wiring(
        argv=tuple(argv),
        registry=Registry(SPECS),
        build_report=_build_report,
        build_evaluations=_build_evaluations,
        export=_export,
        export_verdicts=_export_verdicts,
    )
    try:
        code = commands.dispatch(argv, wiring)
    except BrokenPipeError:
        if not reader_left():
            raise
        return 1
    return 1 if reader_left() else code


# The functions below import `reports` on use, because most commands do not need it.


def _build_report(store: Path, runs: Sequence[Run]) -> Path:
    import reports

    return reports.build(store, runs)


def _build_evaluations(store: Path) -> Path | None:
    import reports

    return reports.build_evaluations(store)


def _export(frame: pd.DataFrame, format: str) -> str:
    from reports import export

    return {"csv": export.to_csv, "json": export.to_json}[format](frame)


def _export_verdicts(runs: Sequence[Run], format: str) -> str:
    from reports import verdicts

    writers = {"text": verdicts.verdict_text, "markdown": verdicts.verdict_markdown}
    return writers[format](runs) if format in writers else _export(verdicts.verdict_frame(runs), format)


if __name__ == "__main__":
    sys.exit(main())
