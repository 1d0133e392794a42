"""The store: a folder of finished artifacts, and beside them what is being made, claimed, failed, asked for.

    artifacts/<kind>-<key>/   finished, never changed: config.json, result.json, metrics.jsonl, weights
    work/<kind>-<key>/        being made: the same files, and the checkpoint it resumes from
    claims/                   who is making it
    failures/                 why the last attempt failed
    requests/                 what was asked for: one file a table and profile
    cache/                    reference features, by content
    report/                   the HTML pages
    jobs/                     which cluster job makes which artifact; see `experiments.executors`
    submissions/, snapshots/  what those jobs run and print

A work folder is renamed into `artifacts/` when complete, so an artifact is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from experiments import claims
from experiments.artifacts import Artifact
from sftok.unfinished import clear_unfinished, unfinished

CONFIG, RESULT, METRICS, PROGRESS = "config.json", "result.json", "metrics.jsonl", "progress.json"
EXAMPLES = "examples.npz"
"""Strips of an evaluation: uint8 `[n, 3, H, W]` by name, `labels` `[n]` and `class_names`."""

CHECKPOINT = "checkpoint.safetensors"
TOKENS = "tokens-"
"""How the files of ids begin, which `codes` and `tokens` are made of one by one."""

SCRATCH = (PROGRESS, CHECKPOINT)
"""Files of a work folder that a finished artifact has no use for."""

LOST_OTHERS = "lost_others"
"""In a failure's record: processes that made it together lost one of theirs, which could not say why."""

FOLDERS = ("artifacts", "work", "claims", "failures", "requests", "cache", "report")
CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What the operating system says when it is the place that is full or closed, and no bug."""

DENIED = (errno.EACCES, errno.EPERM)
"""What it says of a folder that belongs to others."""

PROBE_BYTES = 1 << 20
"""Written and deleted before anything starts: a full disk may still take an empty file."""


A_DAY = 24 * 3600.0
"""In seconds: what has been unfinished for longer was left by a process that was killed."""


class StoreError(RuntimeError):
    """The store cannot be used; the message names the path and the remedy."""


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

    def folder(self, artifact: Artifact) -> Path:
        """Where the finished artifact is, or will be."""
        return self.root / "artifacts" / artifact.name

    def work_folder(self, artifact: Artifact) -> Path:
        """Where the artifact is being made."""
        return self.root / "work" / artifact.name

    def claim_path(self, artifact: Artifact) -> Path:
        """The claim file of the artifact."""
        return self.root / "claims" / f"{artifact.name}.json"

    def is_done(self, artifact: Artifact) -> bool:
        """True if the artifact is finished; a failed or partial one is not."""
        return (self.folder(artifact) / RESULT).is_file()

    def claim(self, artifact: Artifact) -> AbstractContextManager[bool]:
        """Own the artifact's making for a block; yields False if another process does."""
        return claims.claim(self.claim_path(artifact))

    def open_work(self, artifact: Artifact) -> Path:
        """The work folder, with the artifact's identity in it; kept from an earlier attempt."""
        folder = self.work_folder(artifact)
        folder.mkdir(parents=True, exist_ok=True)
        clear_unfinished(folder)
        write_json(folder / CONFIG, artifact.identity)
        return folder

    def commit(self, artifact: Artifact, result: Mapping[str, Any]) -> None:
        """Finish the artifact: write its result and rename its folder into place."""
        work = self.work_folder(artifact)
        clear_unfinished(work)
        write_json(work / RESULT, result, flush=True)
        try:
            work.rename(self.folder(artifact))
        except OSError:
            if not self.is_done(artifact):
                self._make_way(artifact)
            if self.is_done(artifact):
                # A process that lost its claim while it slept: the other one's result is there, and the same.
                self.discard_work(artifact)
            else:
                work.rename(self.folder(artifact))
        for name in SCRATCH:
            (self.folder(artifact) / name).unlink(missing_ok=True)
        self._failure_path(artifact).unlink(missing_ok=True)

    def _make_way(self, artifact: Artifact) -> None:
        """Remove a folder without a result, as is left where somebody deleted a damaged one.

        Moved before it is deleted: what another process finished just now is put back.
        """
        grave = unfinished(self.folder(artifact))
        with contextlib.suppress(FileNotFoundError):
            self.folder(artifact).rename(grave)
        if (grave / RESULT).is_file():
            grave.rename(self.folder(artifact))
        shutil.rmtree(grave, ignore_errors=True)

    def record_failure(self, artifact: Artifact, failure: Mapping[str, Any], first: bool = False) -> None:
        """Remember why an attempt failed; its work folder stays, so that a retry resumes.

        With `first`, only if no other reason is there: what went wrong first explains the rest.
        """
        (write_first_json if first else write_json)(self._failure_path(artifact), failure)

    def clear_failure(self, artifact: Artifact) -> None:
        """Forget an earlier failure: a new attempt begins."""
        self._failure_path(artifact).unlink(missing_ok=True)

    def failure(self, artifact: Artifact) -> dict[str, Any] | None:
        """Why the last attempt failed, if it did."""
        return read_json(self._failure_path(artifact))

    def result(self, artifact: Artifact) -> dict[str, Any] | None:
        """The finished artifact's result."""
        return read_json(self.folder(artifact) / RESULT)

    def readable_result(self, artifact: Artifact) -> dict[str, Any] | None:
        """The finished artifact's result; None also if its file is damaged, for who shows what there is."""
        return readable_json(self.folder(artifact) / RESULT)

    def progress(self, artifact: Artifact) -> dict[str, Any] | None:
        """How far the work is, if it is being made."""
        return read_json(self.work_folder(artifact) / PROGRESS)

    def discard_work(self, artifact: Artifact) -> None:
        """Delete what an unfinished attempt left."""
        shutil.rmtree(self.work_folder(artifact), ignore_errors=True)

    def _failure_path(self, artifact: Artifact) -> Path:
        return self.root / "failures" / f"{artifact.name}.json"


def write_json(path: Path, content: Mapping[str, Any], *, flush: bool = False) -> None:
    """Write `content` under a temporary name and rename it: a reader sees the old or the new file, whole.

    With `flush`, it is on the disk before it has its name: a power cut leaves no empty file.
    """
    temporary = unfinished(path)
    try:
        with temporary.open("w") as file:
            file.write(json.dumps(content, indent=1, sort_keys=True))
            if flush:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_first_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` unless the file is there; of several processes, on several machines, one does."""
    draft = unfinished(path)
    try:
        draft.write_text(json.dumps(content, indent=1, sort_keys=True))
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def readable_json(path: Path) -> dict[str, Any] | None:
    """`read_json`, and None also if the file is damaged."""
    with contextlib.suppress(StoreError):
        return read_json(path)
    return None


def read_json(path: Path) -> dict[str, Any] | None:
    """The content of a file that `write_json` wrote; None if there is none.

    Raises:
        StoreError: the file is damaged.
    """
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError(f"no object but {content!r:.20}")
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StoreError(f"{path}: damaged ({error}); delete it and run again") from None
    return content
