"""The store: a folder of artifacts (finished or in progress), locks, failures and requests.

    artifacts/<kind>-<key>/   finished, never changed: config.json, result.json, metrics.jsonl, weights
    work/<kind>-<key>/        in progress: the same files, and the checkpoint to resume from
    locks/                    which process is making an artifact
    failures/                 why the last attempt failed
    requests/                 one file per requested experiment and profile
    cache/                    reference features, by content
    report/                   the HTML pages
    jobs/                     which cluster job makes which artifact; see `experiments.executors`
    submissions/, snapshots/  the requests, code and logs of those jobs

A complete work folder is renamed into `artifacts/`, so artifacts appear atomically. An artifact is finished
if its `result.json` can be read and every file listed in it has the recorded size.
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
"""A table with one row per image of an evaluation."""

EXTREMES = "extremes.npz"
"""The best and worst reconstructions of an evaluation: uint8 `[n, 3, H, W]` by decoding."""

CHECKPOINT = "checkpoint.safetensors"
TOKENS = "tokens-"
"""Prefix of the files of ids, which `codes` and `tokens` write one by one."""

PARTS = "part-"
"""Prefix of the partial files of an unfinished evaluation."""

RESUMED_FROM = (CHECKPOINT, f"{TOKENS}*", f"{PARTS}*")
"""Patterns of files from which unfinished work resumes."""

SCRATCH = (PROGRESS, CHECKPOINT)
"""Files of a work folder that a finished artifact does not need."""

LOST_OTHERS = "lost_others"
"""Key in a failure's record: a process of the group was lost without giving a reason."""

FOLDERS = ("artifacts", "work", "locks", "failures", "requests", "cache", "report")
CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Operating-system errors that mean a full or read-only disk, not a bug."""

DENIED = (errno.EACCES, errno.EPERM)
"""Operating-system errors for a folder of another user."""

PROBE_BYTES = 1 << 20
"""Size of a file written and deleted as a test, because a full disk may still accept an empty file."""

A_DAY = 24 * 3600.0
"""In seconds; older unfinished files were left by a killed process."""


def saved_files(work: Path) -> list[Path]:
    """The files in a work folder from which unfinished work resumes."""
    return [path for pattern in RESUMED_FROM for path in work.glob(pattern)]


class Named(Protocol):
    """An artifact, planned or stored; the store needs only its name."""

    @property
    def name(self) -> str:
        """`kind-key`."""


class Store:
    """The artifacts under `root`; reading never creates files."""

    def __init__(self, root: Path):
        self.root = root.absolute()

    def prepare(self) -> None:
        """Create the folders.

        Raises:
            StoreError: the store cannot be written to.
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
        """The folder of the finished artifact, which may not exist yet."""
        return self.root / "artifacts" / artifact.name

    def work_folder(self, artifact: Named) -> Path:
        """The folder in which the artifact is being made."""
        return self.root / "work" / artifact.name

    def lock_path(self, artifact: Named) -> Path:
        """The lock file of the artifact."""
        return self.root / "locks" / f"{artifact.name}.json"

    def is_done(self, artifact: Named) -> bool:
        """Whether the artifact is finished; failed, partial or damaged ones are not."""
        try:
            return self.result(artifact) is not None
        except StoreError:
            return False

    def result(self, artifact: Named) -> Result | None:
        """The artifact's result; None if it is not finished.

        Raises:
            StoreError: the artifact is damaged; the message names the file.
        """
        return read_result(self.folder(artifact))

    def lock(self, artifact: Named) -> AbstractContextManager[bool]:
        """Hold the artifact's lock for a block; yields False if another process holds it."""
        return locks.lock(self.lock_path(artifact))

    def open_work(self, artifact: Named, config: Mapping[str, Any]) -> Path:
        """Create the work folder and its `config.json`; files of an earlier attempt are kept."""
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
                # This process was suspended and lost its lock; the other one's result is identical.
                self.discard_work(artifact)
            else:
                work.rename(self.folder(artifact))
        for name in SCRATCH:
            (self.folder(artifact) / name).unlink(missing_ok=True)
        self.clear_failure(artifact)

    def _make_way(self, artifact: Named) -> None:
        """Remove a damaged artifact, but restore one that another process has just finished."""
        grave = unfinished(self.folder(artifact))
        with contextlib.suppress(FileNotFoundError):
            self.folder(artifact).rename(grave)
        with contextlib.suppress(StoreError):
            if read_result(grave) is not None:
                grave.rename(self.folder(artifact))
        shutil.rmtree(grave, ignore_errors=True)

    def record_failure(self, artifact: Named, failure: Mapping[str, Any], first: bool = False) -> None:
        """Record why an attempt failed; the work folder is kept, so that a retry resumes.

        With `first`, an existing reason is kept, because the first failure explains the others.
        """
        (write_first_json if first else write_json)(self._failure_path(artifact), failure)

    def clear_failure(self, artifact: Named) -> None:
        """Delete the record of an earlier failure, before a new attempt."""
        self._failure_path(artifact).unlink(missing_ok=True)

    def failure(self, artifact: Named) -> dict[str, Any] | None:
        """Why the last attempt failed, if it did."""
        try:
            return read_json(self._failure_path(artifact))
        except StoreError as error:
            return {"reason": str(error), "traceback": ""}

    def progress(self, artifact: Named) -> dict[str, Any] | None:
        """The progress of the work; None if it is not in progress."""
        return readable_json(self.work_folder(artifact) / PROGRESS)

    def discard_work(self, artifact: Named) -> None:
        """Delete the files of an unfinished attempt."""
        shutil.rmtree(self.work_folder(artifact), ignore_errors=True)

    def _failure_path(self, artifact: Named) -> Path:
        return self.root / "failures" / f"{artifact.name}.json"
