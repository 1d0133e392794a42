"""Exchangeable parts: choosing a part is choosing the configuration class that builds it.

A family is a class of configurations (`QuantizerConfig`); its members each have a name and build one part. A
field annotated with a family takes `{"name": "fsq", "levels": [8, 6, 5]}`, the name alone, `"module:Class"`
for a part from outside this package, or an instance. Members are found by the file they live in, and only the
files that a configuration names are imported.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import (
    GetCoreSchemaHandler,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidatorFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from sftok.config import Config, ConfigError, choices_hint

NAME = "name"
"""The key of a component's values that says which member of its family they configure."""

Overlay = Mapping[str, Any]
"""Values by dotted key."""


class Component(Config):
    """The configuration of one exchangeable part.

    Attributes:
        family: the name of the family, whose members are interchangeable.
        package: the package that contains the members of the family.
        reference: how configurations refer to this member: its name, or `module:Class` if it is defined
            outside the family's package.
    """

    family: ClassVar[str]
    package: ClassVar[str]
    reference: ClassVar[str] = ""
    members: ClassVar[dict[str, type[Component]]]

    def __init_subclass__(
        cls, *, family: str | None = None, package: str = "", name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        if family is not None:
            cls.family, cls.package, cls.members, cls.reference = family, package, {}, ""
            return
        inside = f"{cls.__module__}.".startswith(f"{cls.package}.")
        cls.reference = (name or "") if inside else f"{cls.__module__}:{cls.__qualname__}"
        if not cls.reference:
            return  # a base class that several members share
        known = cls.members.get(cls.reference, cls)
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ConfigError(
                f"two members of the family {cls.family} are named {cls.reference!r}: "
                f"{known.__module__}.{known.__qualname__} and {cls.__module__}.{cls.__qualname__}"
            )
        cls.members[cls.reference] = cls

    @classmethod
    def find(cls, reference: str) -> type[Self]:
        """Return the member of this family that `reference` names.

        Raises:
            ConfigError: no such member exists, or it cannot be imported; the message lists the
                choices or gives the cause.
        """
        if ":" in reference:
            return cls._outside(reference)
        if reference not in cls.members:
            _import_file(cls.package, reference)
        if reference not in cls.members:
            _import_all(cls.package)
        if reference not in cls.members:
            inside = [name for name in cls.members if ":" not in name]
            raise ConfigError(f"unknown {cls.family} {reference!r}: {choices_hint(reference, inside)}")
        return cls.members[reference]  # type: ignore[return-value]

    @classmethod
    def _outside(cls, reference: str) -> type[Self]:
        module_name, _, class_name = reference.partition(":")
        try:
            found = getattr(importlib.import_module(module_name), class_name)
        except ImportError as error:
            raise ConfigError(f"{cls.family} {reference!r}: cannot import {module_name} ({error})") from None
        except AttributeError:
            raise ConfigError(f"{cls.family} {reference!r}: {module_name} has no {class_name}") from None
        if not (isinstance(found, type) and issubclass(found, cls)):
            raise ConfigError(f"{cls.family} {reference!r}: {class_name} is not a subclass of {cls.__name__}")
        return found

    @classmethod
    def content_hash(cls) -> str | None:
        """SHA-256 of the file that defines a part from outside the package; None for the package's own."""
        if ":" not in cls.reference:
            return None
        return hashlib.sha256(Path(inspect.getfile(cls)).read_bytes()).hexdigest()

    def check_weights(self) -> None:
        """Load the published weights that the part needs, if any, so that missing ones are reported early.

        Raises:
            RuntimeError: the weights are missing or damaged; the message names the file and what to fetch.
        """

    @classmethod
    def member_of(cls, value: Any) -> Self:
        """Return the member that `value` configures.

        Raises:
            ConfigError: `value` names no member, or has keys that the member does not know.
        """
        if isinstance(value, cls):
            return value
        values = {NAME: value} if isinstance(value, str) else value
        if not isinstance(values, Mapping) or not isinstance(values.get(NAME), str):
            raise ConfigError(f'write a {cls.family} as {{"name": ..., ...}} or by its name alone')
        member = cls.find(values[NAME])
        own = {key: entry for key, entry in values.items() if key != NAME}
        for key in own:
            if key not in member.model_fields:
                hint = choices_hint(key, member.model_fields) if member.model_fields else "it has no settings"
                raise ConfigError(f"unknown key {key!r} of the {cls.family} {values[NAME]!r}: {hint}")
        return member.model_validate(own)

    @model_validator(mode="wrap")
    @classmethod
    def _take_own_name(cls, values: Any, validate: ValidatorFunctionWrapHandler) -> Self:
        """Accept the output of `model_dump`, which includes the member's name."""
        if isinstance(values, Mapping) and values.get(NAME) == cls.reference:
            values = {key: entry for key, entry in values.items() if key != NAME}
        return validate(values)

    @model_serializer(mode="wrap")
    def _put_name_first(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {NAME: self.reference} | serialize(self)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if cls.reference or "family" not in cls.__dict__:
            return handler(source)
        # A field annotated with a family holds, and dumps, whichever member its value names.
        return core_schema.no_info_plain_validator_function(
            cls.member_of,
            serialization=core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True),
        )


def overlay(values: Mapping[str, Any], changes: Overlay) -> dict[str, Any]:
    """Return nested `values` with the dotted keys of `changes` replaced; unknown keys are not checked here.

    Settings of one component do not apply to another: changing a `name` drops the old component's settings.
    """
    result = dict(values)
    for dotted in sorted(changes, key=lambda key: not f".{key}".endswith(f".{NAME}")):
        head, _, rest = dotted.partition(".")
        value = changes[dotted]
        if rest:
            nested = result.get(head)
            kept = nested if isinstance(nested, Mapping) else {}
            if rest == NAME and kept.get(NAME) != value:
                kept = {}
            result[head] = overlay(kept, {rest: value})
        else:
            result[head] = value
    return result


def _dump(component: Component, info: SerializationInfo) -> dict[str, Any]:
    return component.model_dump(mode=info.mode, exclude_defaults=info.exclude_defaults)


def _import_file(package: str, name: str) -> None:
    """Import a part's file: `efficientnet_lite0` for `efficientnet-lite0`, `lpips` for `lpips-vgg`."""
    parts = name.split("-")
    for length in range(len(parts), 0, -1):
        stem = "_".join(parts[:length])
        if stem.isidentifier() and importlib.util.find_spec(f"{package}.{stem}") is not None:
            importlib.import_module(f"{package}.{stem}")
            return


def _import_all(package: str) -> None:
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        importlib.import_module(module.name)
