"""Artifacts, requests and locks on disk."""

from __future__ import annotations

from experiments.store.artifact import StoredArtifact
from experiments.store.files import StoreError, read_json, readable_json, write_first_json, write_json
from experiments.store.results import RESULT, Measured, Result, read_result
from experiments.store.store import (
    CANNOT_WRITE,
    CHECKPOINT,
    CONFIG,
    DENIED,
    EXAMPLES,
    EXTREMES,
    LOST_OTHERS,
    METRICS,
    PARTS,
    PER_IMAGE,
    PROGRESS,
    TOKENS,
    Store,
    saved_files,
)

__all__ = [
    "CANNOT_WRITE",
    "CHECKPOINT",
    "CONFIG",
    "DENIED",
    "EXAMPLES",
    "EXTREMES",
    "LOST_OTHERS",
    "METRICS",
    "PARTS",
    "PER_IMAGE",
    "PROGRESS",
    "RESULT",
    "TOKENS",
    "Measured",
    "Result",
    "Store",
    "StoreError",
    "StoredArtifact",
    "read_json",
    "read_result",
    "readable_json",
    "saved_files",
    "write_first_json",
    "write_json",
]
