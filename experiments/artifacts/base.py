"""An artifact: a typed record of everything that determines its content, and how it is made.

The key is a hash of the kind, its version, the fields that differ from their defaults, and the keys of the
input artifacts. Hence a new field with a default changes no key, and equal keys mean equal content. Raise the
version of the kind whenever a default or the computation changes.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import pkgutil
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel

from experiments.artifacts.context import Context, Placed
from experiments.store import StoredArtifact
from sftok.components import NAME, Component
from sftok.config import Config, ConfigError, choices_hint

KEY_LENGTH = 16

_NOT_IN_WORKLOAD = frozenset({"seed", "loss", "steps", "optimizer", "optimizers", "ema_decay", "log_every"})
"""Fields that do not affect the time per unit of work, besides those that are not in the key."""


class Artifact(Config):
    """One artifact; each subclass is a kind and lives in the file of that name.

    Attributes:
        kind: name of the kind, a part of the folder's name.
        version: version of the code that makes it; raise it when the result of that code changes.
        parallel: whether several processes make it together.
        label: human-readable description.
        device: device on which it is made; it affects only rounding.
        tf32: whether a GPU may round the inputs of float32 products.
        compile: how training uses `torch.compile`, which rounds differently.
        data: fingerprints of the data it reads, by split.
    """

    not_in_key: ClassVar[frozenset[str]] = frozenset({"label", "device", "tf32", "compile"})
    kind: ClassVar[str] = ""
    version: ClassVar[int] = 1
    parallel: ClassVar[bool] = False
    kinds: ClassVar[dict[str, type[Artifact]]] = {}

    label: str
    device: str = "cpu"
    tf32: bool = True
    compile: str = "none"
    data: dict[str, str] = {}

    def __init_subclass__(
        cls, *, kind: str = "", version: int = 1, parallel: bool = False, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        if kind:
            cls.kind, cls.version, cls.parallel = kind, version, parallel
            cls.kinds[kind] = cls

    @classmethod
    def planned(
        cls, place: Placed, data: Mapping[str, str], label: str, split: str = "train", /, **fields: Any
    ) -> Self:
        """The artifact with `fields`, made where `place` (a recipe) says, from one split of `data`."""
        where = {"device": place.device, "tf32": place.tf32, "compile": place.compile}
        return cls(label=label, data={split: data[split]}, **where, **fields)

    @abstractmethod
    def make(self, context: Context) -> dict[str, Any]:
        """Write its files to `context.folder` and return the content of `result.json`."""

    @property
    def units(self) -> int:
        """Units of work, for progress and cost: training steps, or 1."""
        return int(getattr(self, "steps", 1))

    @property
    def network(self) -> Config | None:
        """Configuration of the network it trains; its size determines how long dependent artifacts take."""
        return getattr(self, "model", None)

    @property
    def stage(self) -> str:
        """What it does, more specific than its kind: `warm-up`, `alignment`, `evaluation`."""
        return self.kind

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """The content that the key hashes."""
        return {"kind": self.kind, "version": self.version, "fields": _deciding(self, own=True)}

    @functools.cached_property
    def key(self) -> str:
        """The first 16 hex digits of the SHA-256 of `identity`."""
        return _hash(self.identity)

    @property
    def name(self) -> str:
        """Folder name: kind and key."""
        return f"{self.kind}-{self.key}"

    @functools.cached_property
    def inputs(self) -> dict[str, Artifact]:
        """The artifacts it is made from, by role: a field's name, or `field.name` for a mapping of them."""
        found: dict[str, Artifact] = {}
        for field, value in self:
            if isinstance(value, Artifact):
                found[field] = value
            elif isinstance(value, Mapping):
                parts = ((f"{field}.{name}", part) for name, part in value.items())
                found |= {role: part for role, part in parts if isinstance(part, Artifact)}
        return found

    @functools.cached_property
    def _input_fields(self) -> set[str]:
        return {role.partition(".")[0] for role in self.inputs}

    def with_inputs(self) -> list[Artifact]:
        """Its direct and indirect inputs, each before the artifacts that need it, and itself last."""
        ordered: dict[Artifact, None] = {}
        for upstream in self.inputs.values():
            ordered |= dict.fromkeys(upstream.with_inputs())
        return [*ordered, self]

    @functools.cached_property
    def workload(self) -> str:
        """A hash of sizes, models and data, equal for artifacts whose units take equally long."""
        models = {role: _deciding(each.network) for role, each in self.inputs.items()}
        own = _deciding(self, own=True, omitted=_NOT_IN_WORKLOAD | self._input_fields)
        return _hash({"kind": self.kind, "fields": own, "models": models})

    def components(self) -> Iterator[Component]:
        """The interchangeable components in its configuration."""
        yield from _components(self)

    @property
    def training_batch(self) -> int | None:
        """Number of images in a training batch; None if it does not train."""
        training = getattr(self, "training", None)
        return None if training is None else int(training.batch_size)

    @property
    def images(self) -> int:
        """Number of training images it sees in total."""
        training = getattr(self, "training", None)
        return 0 if training is None else self.units * training.batch_size * training.gradient_accumulation

    def stored(self) -> StoredArtifact:
        """The form in which a request stores it."""
        return StoredArtifact(
            name=self.name,
            kind=self.kind,
            version=self.version,
            stage=self.stage,
            label=self.label,
            inputs={role: upstream.name for role, upstream in self.inputs.items()},
            data=self.data,
            device=self.device,
            units=self.units,
            images=self.images,
            record=self.model_dump(mode="json", exclude=self._input_fields),
        )

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Artifact) and self.name == other.name


def all_kinds() -> dict[str, type[Artifact]]:
    """Every kind of artifact by name; each file of this package may define one."""
    for module in pkgutil.iter_modules(importlib.import_module("experiments.artifacts").__path__):
        importlib.import_module(f"experiments.artifacts.{module.name}")
    return Artifact.kinds


def load(stored: Iterable[StoredArtifact]) -> dict[str, Artifact]:
    """Rebuild stored artifacts, by name; inputs must come before the artifacts made from them.

    Raises:
        ConfigError: a kind is unknown, or the current code gives a record another key.
    """
    artifacts: dict[str, Artifact] = {}
    for each in stored:
        inputs: dict[str, Any] = {}
        for role, name in each.inputs.items():
            field, _, part = role.partition(".")
            if part:
                inputs.setdefault(field, {})[part] = artifacts[name]
            else:
                inputs[field] = artifacts[name]
        artifact = _kind(each.kind).build({**each.record, **inputs})
        if artifact.name != each.name:
            raise ConfigError(
                f"{each.label} ({each.name}): the code that makes it has changed since it was requested; "
                "run the command again (finished artifacts that did not change are kept)"
            )
        artifacts[each.name] = artifact
    return artifacts


def _kind(kind: str) -> type[Artifact]:
    if kind not in Artifact.kinds and kind.isidentifier():
        try:
            importlib.import_module(f"experiments.artifacts.{kind}")
        except ModuleNotFoundError:
            hint = choices_hint(kind, all_kinds())
            raise ConfigError(f"unknown kind of artifact {kind!r}: {hint}") from None
    return Artifact.kinds[kind]


def _deciding(value: Any, own: bool = False, omitted: frozenset[str] | set[str] = frozenset()) -> Any:
    """`value` as JSON, without fields at their defaults and fields that do not affect the result."""
    if isinstance(value, Artifact) and not own:
        return value.name
    if isinstance(value, BaseModel):
        return _deciding_fields(value, omitted)
    if isinstance(value, Mapping):
        return {str(key): _deciding(entry, omitted=omitted) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_deciding(entry, omitted=omitted) for entry in value]
    return value


def _deciding_fields(record: BaseModel, omitted: frozenset[str] | set[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if isinstance(record, Component):
        fields[NAME] = record.reference
        if (content := record.content_hash()) is not None:
            fields["content"] = content
    left_out = getattr(record, "not_in_key", frozenset()) | omitted
    for name, field in type(record).model_fields.items():
        value = getattr(record, name)
        # A name distinguishes records of one kind, even at its default.
        if name in left_out or (name != NAME and value == field.get_default(call_default_factory=True)):
            continue
        fields[name] = _deciding(value, omitted=omitted)
    return fields


def _components(value: Any) -> Iterator[Component]:
    """The components within `value`, but not those of an artifact's inputs."""
    if isinstance(value, Component):
        yield value
    if isinstance(value, BaseModel):
        value = {name: part for name, part in value if not isinstance(part, Artifact)}
    parts = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, Mapping | list | tuple):
        yield from (found for part in parts for found in _components(part))


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:KEY_LENGTH]
