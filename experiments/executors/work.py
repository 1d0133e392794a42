"""What executors carry out: the artifacts of a stored request, in an order in which inputs come first."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.artifacts import Artifact, artifacts_from_json
from experiments.store import Store, StoreError, read_json
from experiments.tasks.base import Maker

if TYPE_CHECKING:
    from experiments.executors.datasets import DataSets
    from sftok.data.base import ImageSet

FindMaker = Callable[[str], Maker]
"""The maker of a kind of artifact."""

MAKERS = "experiments.tasks:find_maker"
"""The `module:function` by which workers and jobs find makers."""


class Work:
    """A request as executors need it. Workers and jobs read it from a file: they never plan."""

    def __init__(self, request: Mapping[str, Any]):
        plan = request["plan"]
        self.request = request
        """What `requests/*.json` holds."""
        self.experiment: str = plan["experiment"]["name"]
        self.profile: str = plan["profile"]["name"]
        self.threads: int | None = plan["profile"]["threads"]
        """How many threads the profile fixes, if it does."""
        self.artifacts = tuple(artifacts_from_json(plan["artifacts"]).values())
        self._data: Mapping[str, Any] = plan["recipe"]["data"]
        self._data_sets: DataSets | None = None

    @classmethod
    def read(cls, path: Path) -> Work:
        """The work of the request in the file `path`.

        Raises:
            StoreError: the file is missing or damaged, or another version of this package wrote it.
        """
        content = read_json(path)
        if content is None:
            raise StoreError(f"{path}: missing; run the command again")
        try:
            return cls(content)
        except (KeyError, TypeError) as error:
            raise StoreError(
                f"{path}: another version of this package wrote it ({error}); run the command again"
            ) from None

    def load_data(self, artifact: Artifact) -> Callable[[str], ImageSet]:
        """The function by which `artifact` loads a split.

        It raises a DataError if the images cannot be read, or have changed since the request was made.
        """

        def load(split: str) -> ImageSet:
            # Imported here: what is made without images should not wait for torch.
            from experiments.executors.datasets import DataSets
            from sftok.data import DataConfig, DataError

            self._data_sets = self._data_sets or DataSets(DataConfig.build(dict(self._data)))
            image_set = self._data_sets.load(split)
            if artifact.data.get(split, image_set.fingerprint) != image_set.fingerprint:
                raise DataError(f"the {split} images changed since this was planned; run the command again")
            return image_set

        return load


class Remaining:
    """The artifacts that are neither finished nor failed nor blocked, as the store says."""

    def __init__(self, artifacts: Iterable[Artifact], store: Store):
        self.artifacts = dict.fromkeys(artifacts)
        """In order; the values mean nothing."""
        self.failures: dict[Artifact, str] = {}
        """Why the others failed or are blocked."""
        self._store = store

    def settle(self) -> list[Artifact]:
        """Drop and return the artifacts that are settled now."""
        settled = [artifact for artifact in self.artifacts if self._is_settled(artifact)]
        for artifact in settled:
            del self.artifacts[artifact]
        return settled

    def _is_settled(self, artifact: Artifact) -> bool:
        if self._store.is_done(artifact):
            return True
        reason = blocked_by(artifact, self.failures) or (self._store.failure(artifact) or {}).get("reason")
        if reason is not None:
            self.failures[artifact] = reason
        return reason is not None

    def ready(self) -> Artifact | None:
        """The first artifact whose inputs are finished and that nobody has locked."""
        for artifact in self.artifacts:
            needs = any(upstream in self.artifacts for upstream in artifact.inputs.values())
            if not needs and not self._store.lock_path(artifact).exists():
                return artifact
        return None


def blocked_by(artifact: Artifact, failures: Mapping[Artifact, str]) -> str | None:
    """Why the artifact cannot be made if one of its inputs is among `failures`."""
    for upstream in artifact.inputs.values():
        if upstream in failures:
            return f"blocked by {upstream.label} ({upstream.name})"
    return None


def load_finder(reference: str, threads: int | None) -> FindMaker:
    """The function that `module:function` names; it prepares torch once a maker has imported it."""
    module, _, name = reference.partition(":")
    find: FindMaker = getattr(importlib.import_module(module), name)

    def find_and_prepare(kind: str) -> Maker:
        maker = find(kind)
        if "torch" in sys.modules:
            from experiments.executors.process import prepare_torch

            prepare_torch(threads)
        return maker

    return find_and_prepare
