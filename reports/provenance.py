"""Where the numbers of a page come from: artifacts, environments, protocols, configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.records.results import TableRun
from reports.numbers import byte_size, duration
from reports.tables import row_label

PER_ARTIFACT = ("config_hash", "started", "seconds", "peak_rss_bytes")
"""Keys of a provenance record that differ between artifacts; the others describe the environment."""


@dataclass(frozen=True)
class ArtifactLine:
    """One artifact of the run."""

    label: str
    kind: str
    status: str
    key: str
    started: str
    time: str
    memory: str
    shared_by: int
    config_hash: str


@dataclass(frozen=True)
class Shared:
    """Facts that some rows or artifacts have in common, with whom they hold for."""

    facts: tuple[tuple[str, str], ...]
    holds_for: str


def artifact_lines(run: TableRun) -> tuple[ArtifactLine, ...]:
    """The artifacts of a run, in its order."""
    lines = []
    for item in run.artifacts:
        record = item.provenance
        seconds = item.seconds if item.seconds is not None else record.get("seconds")
        memory = record.get("peak_rss_bytes")
        lines.append(
            ArtifactLine(
                label=item.label,
                kind=item.kind,
                status=item.status,
                key=item.key,
                started=as_text(record.get("started", "")),
                time="" if seconds is None else duration(float(seconds)),
                memory=byte_size(memory) if isinstance(memory, int | float) else "",
                shared_by=item.shared_by,
                config_hash=as_text(record.get("config_hash", "")),
            )
        )
    return tuple(lines)


def environments(run: TableRun) -> tuple[Shared, ...]:
    """The distinct environments (commit, versions, CPU, threads, ...) that the artifacts were made in."""
    records = [
        (item.label, {key: value for key, value in item.provenance.items() if key not in PER_ARTIFACT})
        for item in run.artifacts
        if item.provenance
    ]
    return _grouped(records)


def protocols(run: TableRun) -> tuple[Shared, ...]:
    """The distinct evaluation protocols of the rows; more than one means that they cannot be compared."""
    records = [
        (f"{row_label(run, row.row)} (seed {row.seed})", row.protocol) for row in run.rows if row.protocol
    ]
    return _grouped(records)


def fingerprints(run: TableRun) -> tuple[str, ...]:
    """The distinct protocol fingerprints of the rows."""
    found = (as_text(row.protocol["fingerprint"]) for row in run.rows if "fingerprint" in row.protocol)
    return tuple(dict.fromkeys(found))


def config_text(config: Mapping[str, Any]) -> str:
    """A configuration as indented JSON; what JSON has no word for is shown as Python prints it."""
    return json.dumps(config, indent=2, default=str, ensure_ascii=False)


def as_text(value: Any) -> str:
    """A value of a record in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {as_text(part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(as_text, value))
    return str(value)


def _grouped(records: list[tuple[str, dict[str, Any]]]) -> tuple[Shared, ...]:
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for label, record in records:
        facts = tuple((key.replace("_", " "), as_text(value)) for key, value in record.items())
        groups.setdefault(facts, []).append(label)
    if len(groups) == 1:
        return tuple(Shared(facts, "all") for facts in groups)
    return tuple(Shared(facts, "; ".join(dict.fromkeys(labels))) for facts, labels in groups.items())
