"""The commands of `python -m experiments`, one file each; `dispatch` turns their errors into exit codes."""

from __future__ import annotations

import argparse
import errno
import sys

from experiments.commands.wiring import Wiring
from sftok.config import ConfigError
from sftok.distributed import WorldBroken

__all__ = ["Wiring", "dispatch"]

WRONG_INPUT = 2

WRONG_PLACE = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP)
"""Errors of the system that name a path which a person chose, or put something in the way of."""


def dispatch(options: argparse.Namespace, argv: list[str], wiring: Wiring) -> int:
    """Run the command that `options` name and return the exit code.

    An error that a person can mend is one line on stderr; a bug keeps its traceback.
    """
    try:
        return _run(options, argv, wiring)
    except ConfigError as error:
        return _complain(options, error, WRONG_INPUT)


def _run(options: argparse.Namespace, argv: list[str], wiring: Wiring) -> int:
    if options.command == "list":
        from experiments.commands.list import list_experiments

        return list_experiments(options, wiring)
    # From here on torch is imported, which takes seconds.
    from experiments.commands import (
        cancel,
        collect,
        evaluate,
        logs,
        report,
        results,
        retry,
        run,
        show,
        status,
        study,
        sweep,
        verdicts,
    )
    from experiments.executors.local import WorkerError
    from experiments.executors.queue import SlurmError
    from experiments.executors.stop import INTERRUPTED, Interrupted
    from experiments.planning.needed_weights import MissingWeightsError
    from experiments.store import CANNOT_WRITE, DENIED, StoreError
    from sftok.checkpoints import CheckpointError
    from sftok.data import DataError

    commands = {
        "show": show.show,
        "run": run.run,
        "sweep": sweep.sweep,
        "study": study.study,
        "status": status.status,
        "report": report.report,
        "evaluate": evaluate.evaluate,
        "results": results.results,
        "verdicts": verdicts.verdicts,
        "logs": logs.logs,
        "cancel": cancel.cancel,
        "retry": retry.retry,
        "collect": collect.collect,
    }
    try:
        return commands[options.command](options, argv, wiring)
    except (CheckpointError, DataError, MissingWeightsError) as error:
        return _complain(options, error, WRONG_INPUT)
    except (StoreError, SlurmError, WorkerError, WorldBroken) as error:
        return _complain(options, error, 1)
    except OSError as error:
        if error.filename is not None and error.errno in WRONG_PLACE:
            return _complain(options, error, 1)
        if error.errno not in (*CANNOT_WRITE, *DENIED):
            raise
        remedy = "free some space, or name another --store; what is finished is kept"
        return _complain(options, StoreError(f"{error}; {remedy}"), 1)
    except Interrupted as error:
        return _complain(options, error, INTERRUPTED)


def _complain(options: argparse.Namespace, error: Exception, code: int) -> int:
    print(f"{options.command}: {error}", file=sys.stderr)
    return code
