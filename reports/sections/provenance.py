"""The provenance of the numbers: protocol, artifacts, machine and configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

from experiments.records import ArtifactState, Run
from reports.html import Facts, Fold, Note, Part, as_text, section, template
from reports.numbers import byte_size, duration
from reports.tables import Column, Group, Line, Table, texts

ORDER, TITLE = 170, "Provenance"

OF_ONE_ARTIFACT = ("config_hash", "started", "seconds", "peak_rss_bytes")
"""Keys of a provenance record that differ between artifacts; the others describe the environment."""

COLUMNS = (
    Column("Artifact"),
    Column("Folder", words=True),
    Column("Status", words=True),
    Column("Time"),
    Column("Peak memory"),
    Column("Used by"),
    Column("Config hash", words=True),
    Column("Started", words=True),
)


def applies(run: Run) -> bool:
    """Always True: every page has the section."""
    return True


def render(run: Run) -> Markup:
    """The protocols, artifacts, machines and configuration, folded."""
    caption = "Every artifact of the run: a folder in the store's artifacts/."
    artifacts = Table(caption, COLUMNS, (Group("", tuple(map(_line, run.artifacts))),))
    measured = protocols(run) or (Note("No evaluation has finished yet.", ""),)
    config = Markup(template("configuration", run=run))
    return section(
        run,
        TITLE,
        Fold("Evaluation protocol", measured),
        Fold("Artifacts and machine", (*environments(run), artifacts)),
        Fold("Configuration", (config,)),
    )


def environments(run: Run) -> tuple[Part, ...]:
    """The distinct environments (commit, versions, CPU, threads ...) in which the artifacts were made."""
    made = (state for state in run.artifacts if state.provenance)
    return _grouped(
        (state.label, {key: value for key, value in state.provenance.items() if key not in OF_ONE_ARTIFACT})
        for state in made
    )


def protocols(run: Run) -> tuple[Part, ...]:
    """The distinct evaluation protocols of the rows; numbers of different protocols are not comparable."""
    results = ((state, run.results.get(state.evaluation.name)) for state in run.rows)
    return _grouped(
        (f"{run.label(state.row)} (seed {state.seed})", result.protocol)
        for state, result in results
        if result is not None and result.protocol
    )


def _line(state: ArtifactState) -> Line:
    memory = state.provenance.get("peak_rss_bytes")
    cells = (
        state.name,
        state.status,
        "" if state.seconds is None else duration(state.seconds),
        byte_size(memory) if isinstance(memory, int | float) else "",
        str(state.shared_by or ""),
        as_text(state.provenance.get("config_hash", "")),
        as_text(state.provenance.get("started", "")),
    )
    return Line(state.label, texts(cells))


def _grouped(records: Iterable[tuple[str, Mapping[str, Any]]]) -> tuple[Part, ...]:
    """Each distinct record once, with the labels it applies to, unless it applies to all."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for label, record in records:
        facts = tuple((key.replace("_", " "), as_text(value)) for key, value in record.items())
        groups.setdefault(facts, []).append(label)
    parts: list[Part] = []
    for facts, labels in groups.items():
        if len(groups) > 1:
            parts.append(Note("; ".join(dict.fromkeys(labels)), "small"))
        parts.append(Facts(facts))
    return tuple(parts)
