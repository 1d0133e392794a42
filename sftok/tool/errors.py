"""The error of the commands."""

from __future__ import annotations


class ToolError(ValueError):
    """A command cannot use its input; the one-line message gives the input, the cause and the remedy."""
