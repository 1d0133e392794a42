"""One process of a run: `together_worker.py STORE WHAT`.

Reads RANK and WORLD_SIZE as torchrun sets them, and makes artifacts of next to nothing with the others; in
the first of them happens WHAT.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from fake_artifacts import Fake
from making import artifact

from experiments.artifacts.context import Context
from experiments.executors import inline
from experiments.executors.inline import Runner, leading
from experiments.executors.stop import INTERRUPTED, Interrupted
from experiments.store import Store, StoreError
from sftok.data.base import ImageSet
from sftok.distributed import World, WorldBroken, joined
from sftok.training.interruption import TrainingInterrupted


def no_data(split: str) -> ImageSet:
    """Nothing here reads images."""
    raise AssertionError(split)


def artifacts(what: str) -> tuple[Fake, ...]:
    """The first, one made of it, one that the first process makes alone, and one beside them."""
    first = artifact("teacher", config={"do": what}, label="first")
    below = artifact("stage", config={"do": "share"}, inputs={"teacher": first}, label="below")
    alone = artifact("codes", config={"do": "wait"}, label="alone")
    beside = artifact("teacher", config={"do": "share"}, label="beside")
    return first, below, alone, beside


def make(artifact: Fake, context: Context) -> dict[str, Any]:
    """Do what the artifact says, and exchange something."""
    what, world = artifact.config["do"], context.world
    if what == "all-fail":
        world.share_of(3)
    if what == "all-stop":
        raise TrainingInterrupted("stopped after 3 of 10 steps")
    if what == ("first-fails", "second-fails")[world.rank]:
        raise ValueError("image 7 cannot be read")
    if what == "first-has-no-room" and world.is_first:
        raise OSError(errno.ENOSPC, "No space left on device")
    if what == "second-fails-unheard":
        one_fails_while_the_other_hears_nothing(world)
    if what == "second-is-killed" and world.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "second-is-killed-later" and world.rank == 1:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGKILL)).start()
    if what == "wait":
        time.sleep(1.5)
    return {"mean": float(world.mean(torch.tensor(float(world.rank))))}


def one_fails_while_the_other_hears_nothing(world: World) -> None:
    """As where NCCL waits for the GPU: no Python is run there any more."""
    if world.rank == 1:
        raise ValueError("image 7 cannot be read")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(600)


def main(store: Store, what: str) -> int:
    """As the command `run` does; returns its exit code."""
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if what != "all-fail":
        inline.COMMON_FAILURE_TIMEOUT = timedelta(seconds=2)
    Fake.make = make  # type: ignore[method-assign]
    try:
        with joined("cpu") as world:
            runner = Runner(store, no_data, world=world)
            if world.is_first:
                with leading(world):
                    return 1 if runner.run(artifacts(what)) else 0
            runner.follow(artifacts(what))
            return 0
    except (StoreError, WorldBroken) as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    except Interrupted as error:
        print(f"run: {error}", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(Store(Path(sys.argv[1])), sys.argv[2]))
