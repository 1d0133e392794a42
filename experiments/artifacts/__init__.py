"""Kinds of artifacts, one per file: what determines their content, their inputs, and how they are made."""

from __future__ import annotations

from experiments.artifacts.base import Artifact, all_kinds, load

__all__ = ["Artifact", "all_kinds", "load"]
