"""Libraries that only some parts need: the extras of the package."""

from __future__ import annotations

import importlib.util

EXTRAS = {"diffusers": "diffusion"}
"""The extra of pyproject.toml that installs a library."""


class MissingLibraryError(RuntimeError):
    """A library of an extra is not installed; one line with the command that installs it."""


def require(library: str) -> None:
    """Check that a library is installed, without importing it.

    Raises:
        MissingLibraryError: the library is not installed.
    """
    if importlib.util.find_spec(library) is None:
        raise MissingLibraryError(
            f"{library}, which is not installed: run pip install 'sftok[{EXTRAS[library]}]'"
        )
