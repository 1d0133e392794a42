"""The work of executors: the artifacts of a stored request, inputs first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import artifacts
from experiments.artifacts import Artifact
from experiments.requests import StoredRequest
from experiments.specs.own_file import import_source
from experiments.store import Store

if TYPE_CHECKING:
    from experiments.executors.datasets import DataSets
    from sftok.data.base import ImageSet


class Work:
    """A request as workers and jobs read it, without planning."""

    def __init__(self, path: Path):
        """Read the request in the file `path`.

        Raises:
            StoreError: the file is damaged, or another version of this package wrote it.
            ConfigError: the code, or the user's own file, has changed since the request.
        """
        request = StoredRequest.load(path)
        import_source(request.source, path.parent)
        self.threads = request.threads
        """The profile's number of threads; None if it does not fix one."""
        self.artifacts = artifacts.load(request.artifacts)
        """The artifacts by name."""
        self._data: Mapping[str, Any] = request.recipe["data"]
        self._data_sets: DataSets | None = None

    def load_data(self, artifact: Artifact) -> Callable[[str], ImageSet]:
        """The function with which `artifact` loads a split.

        It raises a DataError if the images cannot be read or have changed since the request.
        """

        def load(split: str) -> ImageSet:
            # Imported here, because artifacts made without images should not wait for torch.
            from experiments.executors.datasets import DataSets
            from sftok.data import DataConfig, DataError

            self._data_sets = self._data_sets or DataSets(DataConfig.build(dict(self._data)))
            image_set = self._data_sets.load(split)
            if artifact.data.get(split, image_set.fingerprint) != image_set.fingerprint:
                raise DataError(f"the {split} images changed since this was planned; run the command again")
            return image_set

        return load


class Remaining:
    """The artifacts that are neither finished nor failed nor blocked, according to the store."""

    def __init__(self, artifacts: Iterable[Artifact], store: Store):
        self.artifacts = dict.fromkeys(artifacts)
        """The remaining artifacts in order, used as an ordered set."""
        self.failures: dict[Artifact, str] = {}
        """The reasons why the others failed or are blocked."""
        self._store = store

    def settle(self) -> list[Artifact]:
        """Remove and return the artifacts that are settled by now."""
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
        """The first unlocked artifact whose inputs are finished."""
        for artifact in self.artifacts:
            waits = any(upstream in self.artifacts for upstream in artifact.inputs.values())
            if not waits and not self._store.lock_path(artifact).exists():
                return artifact
        return None


def blocked_by(artifact: Artifact, failures: Mapping[Artifact, str]) -> str | None:
    """Why the artifact cannot be made, if one of its inputs is among `failures`."""
    for upstream in artifact.inputs.values():
        if upstream in failures:
            return f"blocked by {upstream.label} ({upstream.name})"
    return None
