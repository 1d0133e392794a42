"""Kinds of artifacts, one per file: what decides their content, what they are made from, and how."""

from __future__ import annotations

from experiments.artifacts.base import Artifact, all_kinds, load

__all__ = ["Artifact", "all_kinds", "load"]
