"""The top: `python -m experiments`. It wires specs, planning, running, tracking and reports together.

Nothing imports this module. Exit codes: 0 everything asked for is done, 1 some of it failed (or nobody reads
what is printed any more), 2 the input is wrong, 130 stopped by a signal (the same command goes on from
there).
"""

from __future__ import annotations

import argparse
import io
import logging
import sys

from experiments import arguments, commands
from experiments.executors.stop import INTERRUPTED
from sftok.output import reader_left


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    options = arguments.parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # An output that knows no "±" gets its number; no command ends for it.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return _main(options, argv)
    except KeyboardInterrupt:
        # Also while modules are imported, which takes seconds.
        print(f"{options.command}: stopped", file=sys.stderr)
        return INTERRUPTED


def _main(options: argparse.Namespace, argv: list[str]) -> int:
    # Imported here: `--help` and a wrong option answer at once.
    import reports
    from reports import export, verdict_export

    wiring = commands.Wiring(
        spec_packages=("experiments.paper", "ablations"),
        build_report=reports.build,
        exporters={"csv": export.to_csv, "json": export.to_json},
        verdict_exporters={
            "text": verdict_export.to_text,
            "csv": verdict_export.to_csv,
            "json": verdict_export.to_json,
            "markdown": verdict_export.to_markdown,
        },
    )
    try:
        code = commands.dispatch(options, argv, wiring)
    except BrokenPipeError:
        if not reader_left():
            raise
        return 1
    return 1 if reader_left() else code


if __name__ == "__main__":
    sys.exit(main())
