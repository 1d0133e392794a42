"""The content of `result.json`; an artifact whose file does not match this record is not finished."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Strict, ValidationError

from experiments.store.files import StoreError, read_json

Number = Annotated[float, Strict()]

RESULT = "result.json"

MAKE_AGAIN = "run the command again to recompute it"


class _Record(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class Measured(_Record):
    """One measured number: a row of the results.

    Further fields are coordinates of the measurement, such as `steps`, `temperature`, `step`, `context`.
    """

    subject: str
    metric: str
    extractor: str = ""
    """The feature space; empty for metrics of pixels and codes."""
    value: Number
    n_images: int


class Provenance(_Record):
    """Where and how an artifact was made."""

    started: str
    seconds: Number
    commit: str = "unknown"


class Result(_Record):
    """The result of a finished artifact; a kind may have further fields of its own."""

    provenance: Provenance
    files: dict[str, int]
    """Sizes in bytes of the artifact's other files."""
    rows: tuple[Measured, ...] = ()
    metrics: dict[str, dict[str, Any]] = {}
    """The self-description of each metric in `rows`."""
    protocol: dict[str, Any] = {}


def read_result(folder: Path) -> Result | None:
    """The result of the artifact in `folder`; None if there is none.

    Raises:
        StoreError: the file is damaged or of another version, or another file of the artifact is missing or
            truncated.
    """
    path = folder / RESULT
    content = read_json(path, MAKE_AGAIN)
    if content is None:
        return None
    try:
        result = Result.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise StoreError(
            f"{path}: damaged or of another version ({where}: {problem['msg']}); {MAKE_AGAIN}"
        ) from None
    for name, size in result.files.items():
        try:
            found = (folder / name).stat().st_size
        except OSError:
            raise StoreError(f"{folder / name}: missing; {MAKE_AGAIN}") from None
        if found != size:
            raise StoreError(f"{folder / name}: has {found} bytes instead of {size}; {MAKE_AGAIN}")
    return result
