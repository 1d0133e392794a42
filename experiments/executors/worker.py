"""A local worker: `python -m experiments.executors.worker STORE REQUEST PARENT`.

It makes one ready, unlocked artifact after another until none is left. Several workers share one request only
through the store: locks keep them apart, and failure files tell them which artifacts not to wait for. A
worker never takes over a stale lock, because the process that started it first checks whether the artifact
crashed the previous owner.
"""

from __future__ import annotations

import functools
import sys
import time
from pathlib import Path

from experiments.executors.inline import Runner
from experiments.executors.process import prepare_torch
from experiments.executors.stop import JOB_SIGNALS, Interrupted, Stop, StopWithParent
from experiments.executors.work import Remaining, Work
from experiments.store import Store, StoreError

POLL_SECONDS = 0.2

STOPPED = 75
"""Exit code of a worker or job that wrote a checkpoint and stopped (`EX_TEMPFAIL`)."""

NO_STORE = 74
"""Exit code of a worker that cannot use the store (`EX_IOERR`); the last line of its log says why."""


def work_through(work: Work, store: Store, stop: Stop) -> None:
    """Make one ready artifact after another.

    Raises:
        Interrupted: a stop was requested.
        StoreError: the store cannot be written to, or one of its files is damaged.
    """
    prepare = functools.partial(prepare_torch, work.threads)
    remaining = Remaining(work.artifacts.values(), store)
    while remaining.settle() or remaining.artifacts:
        if stop.requested():
            raise Interrupted("stopped between two artifacts")
        artifact = remaining.ready()
        if artifact is None:
            time.sleep(POLL_SECONDS)
            continue
        with store.lock(artifact) as ours:
            if ours and not store.is_done(artifact):
                Runner(store, work.load_data(artifact), stop=stop, prepare=prepare).make(artifact)


def main(store: str, request: str, parent: str) -> int:
    """Work until everything is settled; returns the exit code."""
    stop = StopWithParent(int(parent))
    with stop.on_signals(JOB_SIGNALS, second_kills=False):
        try:
            work_through(Work(Path(request)), Store(Path(store)), stop)
        except Interrupted as interruption:
            print(interruption, flush=True)
            return STOPPED
        except StoreError as error:
            print(error, flush=True)
            return NO_STORE
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
