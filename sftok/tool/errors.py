"""The error of the commands."""

from __future__ import annotations


class ToolError(ValueError):
    """Input that a command cannot use; the message is one line: what, where, and the remedy."""
