"""The store: a folder of finished artifacts, and beside them what is in progress, locked, failed, requested.

    artifacts/<kind>-<key>/   finished, never changed: config.json, result.json, metrics.jsonl, weights
    work/<kind>-<key>/        in progress: the same files, and the checkpoint to resume from
    locks/                    who is making it
    failures/                 why the last attempt failed
    requests/                 what was asked for: one file for each experiment and profile
    cache/                    reference features, by content
    report/                   the HTML pages
    jobs/                     which cluster job makes which artifact; see `experiments.executors`
    submissions/, snapshots/  what those jobs run and print

A work folder is renamed into `artifacts/` when it is complete, so an artifact is there whole or not at all.
An artifact is finished if its `result.json` can be read and every file that it lists has its size.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from experiments.store import locks
from experiments.store.files import StoreError, read_json, readable_json, write_first_json, write_json
from experiments.store.results import RESULT, Result, read_result
from sftok.io.unfinished import clear_unfinished, unfinished

CONFIG, METRICS, PROGRESS = "config.json", "metrics.jsonl", "progress.json"
EXAMPLES = "examples.npz"
"""Strips of an evaluation: uint8 `[n, 3, H, W]` by name, `labels` `[n]` and `class_names`."""

PER_IMAGE = "images.parquet"
"""A line for each image of an evaluation."""

EXTREMES = "extremes.npz"
"""The best and the worst reconstructions of an evaluation: uint8 `[n, 3, H, W]` by decoding."""

CHECKPOINT = "checkpoint.safetensors"
TOKENS = "tokens-"
"""How the files of ids begin, which `codes` and `tokens` are made of one by one."""

PARTS = "part-"
"""How the files of an unfinished evaluation begin."""

SCRATCH = (PROGRESS, CHECKPOINT)
"""Files of a work folder that a finished artifact has no use for."""

LOST_OTHERS = "lost_others"
"""In a failure's record: processes that made it together lost one of theirs, which could not say why."""

FOLDERS = ("artifacts", "work", "locks", "failures", "requests", "cache", "report")
CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What the operating system says when it is the place that is full or closed, and no bug."""

DENIED = (errno.EACCES, errno.EPERM)
"""What it says of a folder that belongs to others."""

PROBE_BYTES = 1 << 20
"""Written and deleted before anything starts: a full disk may still take an empty file."""

A_DAY = 24 * 3600.0
"""In seconds: what has been unfinished for longer was left by a process that was killed."""


class Named(Protocol):
    """An artifact, planned or stored: all that the store needs to know of it is its name."""

    @property
    def name(self) -> str:
        """`kind-key`."""


class Store:
    """The artifacts under `root`. Reading never creates a file."""

    def __init__(self, root: Path):
        self.root = root.absolute()

    def prepare(self) -> None:
        """Create the folders.

        Raises:
            StoreError: the place cannot be written to.
        """
        try:
            for name in FOLDERS:
                (self.root / name).mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe-{os.getpid()}"
            try:
                probe.write_bytes(bytes(PROBE_BYTES))
            finally:
                probe.unlink(missing_ok=True)
            for name in ("artifacts", "cache"):
                clear_unfinished(self.root / name, older_than=A_DAY)
        except OSError as error:
            raise StoreError(
                f"store {self.root}: cannot be written to ({error.strerror}); choose another with --store"
            ) from None

    def folder(self, artifact: Named) -> Path:
        """Where the finished artifact is, or will be."""
        return self.root / "artifacts" / artifact.name

    def work_folder(self, artifact: Named) -> Path:
        """Where the artifact is being made."""
        return self.root / "work" / artifact.name

    def lock_path(self, artifact: Named) -> Path:
        """The lock file of the artifact."""
        return self.root / "locks" / f"{artifact.name}.json"

    def is_done(self, artifact: Named) -> bool:
        """True if the artifact is finished; a failed, partial or damaged one is not."""
        try:
            return self.result(artifact) is not None
        except StoreError:
            return False

    def result(self, artifact: Named) -> Result | None:
        """The finished artifact's result; None while it is not finished.

        Raises:
            StoreError: the artifact is damaged; the message names the file.
        """
        return read_result(self.folder(artifact))

    def lock(self, artifact: Named) -> AbstractContextManager[bool]:
        """Hold the artifact's lock for a block; yields False if another process does."""
        return locks.lock(self.lock_path(artifact))

    def open_work(self, artifact: Named, config: Mapping[str, Any]) -> Path:
        """The work folder with `config.json` in it; files of an earlier attempt are kept."""
        folder = self.work_folder(artifact)
        folder.mkdir(parents=True, exist_ok=True)
        clear_unfinished(folder)
        write_json(folder / CONFIG, config)
        return folder

    def commit(self, artifact: Named, result: Mapping[str, Any]) -> None:
        """Finish the artifact: write its result and rename its folder into place."""
        work = self.work_folder(artifact)
        clear_unfinished(work)
        kept = [path for path in sorted(work.iterdir()) if path.name not in (*SCRATCH, RESULT)]
        files = {path.name: path.stat().st_size for path in kept}
        write_json(work / RESULT, {**result, "files": files}, flush=True)
        try:
            work.rename(self.folder(artifact))
        except OSError:
            if not self.is_done(artifact):
                self._make_way(artifact)
            if self.is_done(artifact):
                # This process lost its lock while it slept; the other one's result is there, and equal.
                self.discard_work(artifact)
            else:
                work.rename(self.folder(artifact))
        for name in SCRATCH:
            (self.folder(artifact) / name).unlink(missing_ok=True)
        self.clear_failure(artifact)

    def _make_way(self, artifact: Named) -> None:
        """Remove a damaged artifact; one that another process has finished just now is put back."""
        grave = unfinished(self.folder(artifact))
        with contextlib.suppress(FileNotFoundError):
            self.folder(artifact).rename(grave)
        with contextlib.suppress(StoreError):
            if read_result(grave) is not None:
                grave.rename(self.folder(artifact))
        shutil.rmtree(grave, ignore_errors=True)

    def record_failure(self, artifact: Named, failure: Mapping[str, Any], first: bool = False) -> None:
        """Remember why an attempt failed; its work folder stays, so that a retry resumes.

        With `first`, only if no other reason is there: what went wrong first explains the rest.
        """
        (write_first_json if first else write_json)(self._failure_path(artifact), failure)

    def clear_failure(self, artifact: Named) -> None:
        """Forget an earlier failure: a new attempt begins."""
        self._failure_path(artifact).unlink(missing_ok=True)

    def failure(self, artifact: Named) -> dict[str, Any] | None:
        """Why the last attempt failed, if it did."""
        try:
            return read_json(self._failure_path(artifact))
        except StoreError as error:
            return {"reason": str(error), "traceback": ""}

    def progress(self, artifact: Named) -> dict[str, Any] | None:
        """How far the work is, if it is in progress."""
        return readable_json(self.work_folder(artifact) / PROGRESS)

    def discard_work(self, artifact: Named) -> None:
        """Delete what an unfinished attempt left."""
        shutil.rmtree(self.work_folder(artifact), ignore_errors=True)

    def _failure_path(self, artifact: Named) -> Path:
        return self.root / "failures" / f"{artifact.name}.json"
