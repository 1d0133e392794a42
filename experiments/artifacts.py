"""An artifact as the plan sees it: what it is made of, and the key that says so.

The key is a hash of the resolved configuration that matters, the keys of the inputs, the data's fingerprint
and a version of the code of its kind. Equal keys mean the same content, so nothing is computed twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sftok.device import DeviceName

KIND_VERSIONS = {
    "classifier": 1,
    "teacher": 1,
    "codes": 2,
    "stage": 1,
    "evaluation": 1,
    "tokens": 1,
    "generator": 2,
    "guidance": 1,
    "generation": 1,
    "analysis": 1,
    "checkpoint": 1,
}
"""Raise a kind's version when its code changes what it computes: older artifacts then no longer match."""

KEY_LENGTH = 16

NO_PART_OF_THE_KEY = frozenset({"checkpoint_every", "opened_from"})
"""Settings, at any depth, that change no result: how often work is saved (a resumed run has the same bits),
and where weights lie whose hash is part of the key."""


def _deciding(value: Any) -> Any:
    """A configuration without the settings that are no part of the key."""
    if isinstance(value, Mapping):
        return {key: _deciding(entry) for key, entry in value.items() if key not in NO_PART_OF_THE_KEY}
    return value


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:KEY_LENGTH]


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A node of the graph."""

    kind: str
    config: Mapping[str, Any]
    """All that decides the content, ready for JSON; and, no part of the key, `NO_PART_OF_THE_KEY`."""
    inputs: Mapping[str, Artifact] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    """Fingerprints of the data splits it reads, by split."""
    version: int
    """The version of the code of its kind, from `KIND_VERSIONS` when it is planned."""
    label: str
    """For people; no part of the key."""
    steps: int = 1
    """Units of work, for progress and cost; no part of the key (the config holds what matters)."""
    device: DeviceName = "cpu"
    """Where it is made; no part of the key: another machine rounds otherwise, and that is all."""
    tf32: bool = True
    """Whether a GPU may round the inputs of float32 products; no part of the key, for the same reason."""
    origin: str | None = None
    """Where weights that are not trained here lie; no part of the key, which their hash is."""

    @cached_property
    def key(self) -> str:
        """The first 16 hex digits of the SHA-256 of all that decides the content."""
        return _hash(self.identity)

    @property
    def config_hash(self) -> str:
        """The hash of the configuration alone: equal for the same settings on other data or inputs."""
        return _hash(_deciding(self.config))

    @property
    def identity(self) -> dict[str, Any]:
        """What the key is a hash of; stored as the artifact's `config.json`."""
        return {
            "kind": self.kind,
            "version": self.version,
            "config": _deciding(self.config),
            "inputs": {role: artifact.key for role, artifact in self.inputs.items()},
            "data": dict(self.data),
        }

    def with_inputs(self) -> list[Artifact]:
        """All that it is made of, inputs before what needs them, and itself last."""
        ordered: dict[Artifact, None] = {}
        for upstream in self.inputs.values():
            ordered |= dict.fromkeys(upstream.with_inputs())
        return [*ordered, self]

    @property
    def stage(self) -> str:
        """What it does, more closely than its kind: `warm-up`, `alignment`, `teacher`, `evaluation` ..."""
        return str(self.config.get("stage", self.kind))

    @property
    def name(self) -> str:
        """Folder name: kind and key."""
        return f"{self.kind}-{self.key}"

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Artifact) and self.name == other.name


def artifact(kind: str, **rest: Any) -> Artifact:
    """An artifact of `kind` at the version of today's code."""
    return Artifact(kind=kind, version=KIND_VERSIONS[kind], **rest)


def artifacts_to_json(artifacts: Iterable[Artifact]) -> list[dict[str, Any]]:
    """The graph as JSON; inputs by name."""
    return [
        {
            "kind": artifact.kind,
            "config": dict(artifact.config),
            "inputs": {role: upstream.name for role, upstream in artifact.inputs.items()},
            "data": dict(artifact.data),
            "version": artifact.version,
            "label": artifact.label,
            "steps": artifact.steps,
            "device": artifact.device,
            "tf32": artifact.tf32,
            "origin": artifact.origin,
        }
        for artifact in artifacts
    ]


def artifacts_from_json(content: Iterable[Mapping[str, Any]]) -> dict[str, Artifact]:
    """What `artifacts_to_json` gave, by name; inputs come before what needs them."""
    artifacts: dict[str, Artifact] = {}
    for fields in content:
        inputs = {role: artifacts[name] for role, name in fields["inputs"].items()}
        artifact = Artifact(**{**fields, "inputs": inputs})
        artifacts[artifact.name] = artifact
    return artifacts
