"""The base of every configuration record.

One frozen, keyword-only record per component: its constructor's only configuration argument.
A record is checked when it is built, so a bad value never reaches a model or a training loop.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key, the value and the remedy."""


def choices_hint(wrong: str, choices: Iterable[str]) -> str:
    """`"; did you mean 'x'? choices: x, y"` for an unknown name, closest match first."""
    names = sorted(choices)
    close = difflib.get_close_matches(wrong, names, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}choices: {', '.join(names)}"


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested `values` to dotted keys, the inverse of an overlay; empty mappings are kept."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def overlap(one: str, other: str) -> bool:
    """Whether two dotted keys set a common value, as `a.b` and `a.b.c` do."""
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


class Config(BaseModel):
    """A frozen record whose unknown keys and out-of-range values are errors.

    Attributes:
        not_in_key: fields that do not affect results, such as how often a checkpoint is written.
    """

    not_in_key: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_booleans_as_numbers(cls, values: Any) -> Any:
        # Python would accept `true` as 1.
        for name, field in cls.model_fields.items() if isinstance(values, Mapping) else ():
            taken = {field.annotation, *get_args(field.annotation)}
            if isinstance(values.get(name), bool) and not taken & {bool, Any}:
                raise ValueError(f"{name} must be a number, not a boolean, got {values[name]}")
        return values

    # A component's `build` makes its part; this is typed loosely because its arguments differ by component.
    build: ClassVar[Any]

    @classmethod  # type: ignore[no-redef]
    def build(cls, values: dict[str, Any]) -> Self:
        """Build the record from `values`.

        Raises:
            ConfigError: one line per problem, with the dotted key and, for an unknown key, the choices.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(explain(error, cls)) from None


def explain(error: ValidationError, root: type[Config] | None = None) -> str:
    """One line for all problems of `error`: the dotted key, the value, and the choices for an unknown key."""
    return "; ".join(_describe(problem, root) for problem in error.errors())


def _describe(problem: Any, root: type[Config] | None) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        owner = _record_at(root, location[:-1]) if root else None
        hint = f": {choices_hint(location[-1], owner.model_fields)}" if owner else ""
        return f"unknown key {key!r}{hint}"
    message = problem["msg"].removeprefix("Value error, ")
    if not location:
        return message
    given = problem.get("input")
    # A problem with a whole record is explained by its message; printing all its values would bury that.
    return f"{key}: {message}" if isinstance(given, Mapping) else f"{key} = {given!r}: {message}"


def _record_at(cls: type[BaseModel], path: list[str]) -> type[BaseModel]:
    for part in path:
        if part not in cls.model_fields:
            continue  # an index into a list, or a name in a mapping of records
        annotation = cls.model_fields[part].annotation
        nested = [annotation, *getattr(annotation, "__args__", ())]
        cls = next((kind for kind in nested if isinstance(kind, type) and issubclass(kind, BaseModel)), cls)
    return cls
