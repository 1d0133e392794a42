"""Pages: self-contained HTML, written atomically.

A page contains everything it shows (styles, charts, images) and loads nothing. Only the page of evaluated
tokenizers has a script, which sorts its tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from experiments.records import Run
from experiments.records.study_results import StudyRun
from experiments.records.verdicts import Outcome, judge
from reports import sections
from reports.claims import by_claim, remedy_of, tally
from reports.export import to_csv, to_latex
from reports.html import template
from reports.sections import Section
from reports.status import run_status
from reports.studies import StudyView, study_view
from sftok.io.unfinished import write_text
from sftok.metrics.quantity import Quantity


class Entry:
    """A run in the overview, with the name of its page."""

    def __init__(self, run: Run, name: str) -> None:
        verdicts = judge(run)
        self.run, self.name = run, name
        self.status = run_status(run)
        self.claims, self.tally, self.remedy = by_claim(run), tally(verdicts), remedy_of(verdicts)


def write_report(folder: Path, runs: Sequence[Run], studies: Sequence[StudyRun] = ()) -> Path:
    """Write all pages and exports of `runs` and `studies` to `folder`; returns the path of `index.html`.

    If the page of one run cannot be built, all others are written before the error is raised.

    Args:
        folder: the store's `report` folder, which is created.
        runs: runs, of which the latest of each experiment and profile is shown.
        studies: studies, each shown on its own page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    latest = latest_runs(runs)
    entries: list[Entry] = []
    failures: list[Exception] = []
    for table in dict.fromkeys(run.experiment.name for run in latest):
        of_table = [run for run in latest if run.experiment.name == table]
        names = {run.request.profile: f"{table}-{run.request.profile}" for run in of_table}
        if len(of_table) == 1:
            names = {of_table[0].request.profile: table}
        for run in of_table:
            try:
                entries.append(_write_pages(folder, run, names, latest=run is of_table[0]))
            except Exception as error:  # a section of one's own may raise anything
                error.add_note(f"while building the page of {run.experiment.name}")
                failures.append(error)
    views = [study_view(study) for study in studies]
    for view in views:
        page = template("study", view=view, run=view.run, refresh=None)
        write_text(folder / f"study-{view.run.name}.html", page, flush=False)
    index = folder / "index.html"
    evaluated = (folder / "evaluate.html").exists()
    write_text(index, render_index(entries, views, evaluated), flush=False)
    if failures:
        raise failures[0]
    return index


def _write_pages(folder: Path, run: Run, names: dict[str, str], latest: bool) -> Entry:
    """Write the page of one run and its exports; the `latest` also under the name of the table alone."""
    entry = Entry(run, names[run.request.profile])
    own = sections.of_own_file(run.request, folder.parent / "requests")
    files = {".html": render_page(entry, names, own), ".csv": to_csv(run.frame), ".tex": to_latex(run)}
    for name in {entry.name: None} | ({run.experiment.name: None} if latest else {}):
        for ending, text in files.items():
            write_text(folder / f"{name}{ending}", text, flush=False)
    return entry


def latest_runs(runs: Sequence[Run]) -> list[Run]:
    """The latest request of each table and profile, in the paper's order, with a table's latest first.

    Of requests made at the same time, the first one in `runs` counts as the latest.
    """
    newest: dict[tuple[str, str], Run] = {}
    for run in sorted(runs, key=_requested, reverse=True):
        newest.setdefault((run.experiment.name, run.request.profile), run)
    return sorted(newest.values(), key=lambda run: run.experiment.place)


def render_page(entry: Entry, names: dict[str, str], own: Sequence[Section]) -> str:
    """The page of one run; `names` are the table's pages by profile, `own` the experiment's own sections."""
    run = entry.run
    shown = [section for section in sections.ordered(own) if section.applies(run)]
    return template(
        "page",
        entry=entry,
        run=run,
        others={profile: name for profile, name in names.items() if profile != run.request.profile},
        refresh=entry.status.refresh,
        sections=[(sections.anchor(section), section.TITLE, section.render(run)) for section in shown],
    )


def render_index(entries: Sequence[Entry], studies: Sequence[StudyView] = (), evaluated: bool = False) -> str:
    """The overview of all claims, tables and studies; a scale common to all is stated once.

    With `evaluated`, it links to the page of evaluations.
    """
    scales = {(entry.run.request.profile, entry.run.request.data): entry.run for entry in entries}
    counts: Counter[Outcome] = Counter()
    metrics: dict[str, Quantity] = {}
    for entry in entries:
        metrics |= entry.run.metrics
        if not entry.run.request.meaningless:
            counts.update(entry.tally)
    return template(
        "index",
        entries=entries,
        studies=studies,
        scale=next(iter(scales.values())).request if len(scales) == 1 else None,
        tally=counts,
        refresh=min((entry.status.refresh for entry in entries if entry.status.refresh), default=None),
        metrics=metrics.values(),
        evaluated=evaluated,
    )


def _requested(run: Run) -> datetime:
    moment = datetime.fromisoformat(run.request.requested)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
