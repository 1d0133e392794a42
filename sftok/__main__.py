"""`python -m sftok`: tokenize images, reconstruct them, sample new ones, and describe checkpoints.

Exit codes: 0 success, 1 output cannot be written or memory ran out, 2 wrong input, 130 interrupted. An error
is one line on standard error.
"""

from __future__ import annotations

import argparse
import logging
import sys

from sftok.io.output import reader_left
from sftok.tool import arguments


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = arguments.parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        return _main(options)
    except KeyboardInterrupt:
        return 130


def _main(options: argparse.Namespace) -> int:
    # Imported here, so that `--help` and wrong options respond immediately.
    from sftok.checkpoints import CheckpointError
    from sftok.config import ConfigError
    from sftok.extras import MissingLibraryError
    from sftok.tool import info, reconstruct, sample, tokenize
    from sftok.tool.errors import ToolError

    commands = {
        "info": info.run,
        "reconstruct": reconstruct.run,
        "sample": sample.run,
        "tokenize": tokenize.run,
    }
    try:
        commands[options.command](options)
    except BrokenPipeError as error:
        return 1 if reader_left() else _say(error, code=1)
    except (CheckpointError, ConfigError, MissingLibraryError, ToolError) as error:
        return _say(error, code=2)
    except OSError as error:
        return _say(error, code=1)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        return _say(MemoryError(f"out of memory ({error}); choose a smaller --batch-size"), code=1)
    return 1 if reader_left() else 0


def _is_out_of_memory(error: Exception) -> bool:
    # A GPU has an error of its own; the CPU's allocator says it in a RuntimeError.
    return type(error).__name__ in ("MemoryError", "OutOfMemoryError") or "DefaultCPUAllocator" in str(error)


def _say(error: Exception, code: int) -> int:
    print(f"sftok: {' '.join(str(error).split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
