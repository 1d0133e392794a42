"""Additional processes that run trials of a study, each on its own GPU."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.executors.process import VISIBLE_GPUS, visible_gpus
from experiments.executors.stop import INTERRUPTED, PARENT, Stop, StopWithParent


@dataclass(frozen=True)
class FurtherWorker:
    """An additional process and its log."""

    process: subprocess.Popen[bytes]
    log: Path
    """The file with its output."""

    def died(self, no_value: bool) -> bool:
        """Whether it failed; if the study has no value, every worker ends with exit code 1."""
        return self.process.returncode not in {0, INTERRUPTED, *([1] if no_value else [])}


def new_stop() -> Stop:
    """This process's request to stop; an additional worker also stops with the process that started it."""
    parent = os.environ.pop(PARENT, None)
    return StopWithParent(int(parent)) if parent else Stop()


def copy_of(source: Mapping[str, str], folder: Path) -> Path:
    """Copy the file that defines the study into `folder`, in case it changes before a job starts."""
    copy = folder / source["sha256"][:16] / f"{source['name']}.py"
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source["path"], copy)
    return copy


@contextlib.contextmanager
def further_workers(number: int, arguments: Sequence[str], folder: Path) -> Iterator[list[FurtherWorker]]:
    """Run `python` with `arguments` in `number` processes, which print to files in `folder`.

    The end of the block waits for all of them, and stops them first after an exception.
    """
    workers: list[FurtherWorker] = []
    gpus = visible_gpus()
    try:
        for place in range(1, number + 1):
            log = folder / f"worker-{place}.log"
            # Each worker uses its first visible GPU; this process uses the first of all.
            own = {VISIBLE_GPUS: gpus[place % len(gpus)]} if gpus else {}
            with log.open("ab") as output:
                process = subprocess.Popen(
                    [sys.executable, *arguments],
                    stdout=output,
                    stderr=output,
                    stdin=subprocess.DEVNULL,
                    env=os.environ | own | {PARENT: str(os.getpid())},
                )
            workers.append(FurtherWorker(process, log))
        yield workers
    except BaseException:
        for worker in workers:
            worker.process.terminate()
        raise
    finally:
        for worker in workers:
            worker.process.wait()
