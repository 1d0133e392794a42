"""Pages: the records of the store to self-contained HTML, written atomically.

A page holds everything it shows (styles, charts, images), loads nothing, and runs no script. Jinja escapes
every value; the only markup that is passed through is the SVG that `reports.figures` draws from numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from experiments.records.results import SettingLine, TableRun
from experiments.records.study_results import StudyRun
from experiments.records.verdicts import Outcome, cells, judge
from reports import provenance
from reports.analyses import analysis_views
from reports.claims import ClaimView, claim_views
from reports.costs import cost_table
from reports.curves import curve_charts, loss_charts, metric_charts
from reports.export import result_rows, to_csv, to_latex
from reports.figures import Panel, draw, swatch
from reports.galleries import BRIGHTER, gallery_sets, not_shown
from reports.generated import generated_images
from reports.guidance import guidance_table
from reports.metrics import METRICS, QUANTITIES
from reports.numbers import rough_duration
from reports.status import REFRESH_SECONDS, RunStatus, claim_tally, run_status
from reports.strips import strip_sets
from reports.studies import StudyView, study_view
from reports.sweeps import sweep_view
from reports.tables import flat_table, headline
from sftok.unfinished import unfinished


@dataclass(frozen=True)
class Entry:
    """A run with its page, as the overview lists it."""

    run: TableRun
    name: str
    """Of its files, without the ending."""
    status: RunStatus
    claims: tuple[ClaimView, ...]
    tally: dict[Outcome, int]


def write_report(folder: Path, runs: Sequence[TableRun], studies: Sequence[StudyRun] = ()) -> Path:
    """Write all pages and exports of `runs` and `studies` into `folder`; returns the path of `index.html`.

    Raises:
        ValueError: two different values claim one cell of a table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    latest = latest_runs(runs)
    entries = []
    for table in dict.fromkeys(run.experiment.name for run in latest):
        of_table = [run for run in latest if run.experiment.name == table]
        names = {run.profile: f"{table}-{run.profile}" for run in of_table}
        if len(of_table) == 1:
            names = {of_table[0].profile: table}
        for run in of_table:
            entry = _entry(run, names[run.profile])
            entries.append(entry)
            page = render_table(entry, names)
            # The latest request also has the page that bears the table's name alone.
            for name in {entry.name: None} | ({table: None} if run is of_table[0] else {}):
                _write(folder / f"{name}.html", page)
                _write(folder / f"{name}.csv", to_csv(result_rows(run)))
                _write(folder / f"{name}.tex", to_latex(run))
    views = [study_view(study) for study in studies]
    for view in views:
        _write(folder / f"study-{view.run.name}.html", render_study(view))
    index = folder / "index.html"
    _write(index, render_index(entries, views))
    return index


def latest_runs(runs: Sequence[TableRun]) -> list[TableRun]:
    """The latest request of each table and profile: in the paper's order, the latest of a table first.

    Of requests made at the same moment, the one that comes first in `runs` counts as the latest.
    """
    newest: dict[tuple[str, str], TableRun] = {}
    for run in sorted(runs, key=_requested, reverse=True):
        newest.setdefault((run.experiment.name, run.profile), run)
    return sorted(newest.values(), key=lambda run: run.experiment.place)


def render_table(entry: Entry, names: dict[str, str]) -> str:
    """The page of one run; `names` are those of the same table's pages by profile."""
    run = entry.run
    measured = cells(run)
    # Where costs are the question, quality stands in the table that the rows are borrowed from.
    charts, further_charts = ([], []) if run.experiment.costs else metric_charts(run, measured)
    return (
        _environment()
        .get_template("table.html.j2")
        .render(
            entry=entry,
            run=run,
            experiment=run.experiment,
            status=entry.status,
            refresh=REFRESH_SECONDS if entry.status.refresh else None,
            others={profile: name for profile, name in names.items() if profile != run.profile},
            claims=entry.claims,
            table=headline(run, measured),
            sweep=sweep_view(run, measured),
            charts=charts,
            further_charts=further_charts,
            losses=loss_charts(run),
            curves=curve_charts(run),
            costs=cost_table(run),
            settings=_by_category(run.settings),
            flat=flat_table(run, measured),
            generated=generated_images(run),
            guidance=guidance_table(run),
            analyses=analysis_views(run, measured),
            galleries=gallery_sets(run),
            not_shown=not_shown(run),
            brighter=BRIGHTER,
            # A gallery shows the same pictures, arranged as the figure is about them.
            strips=[] if run.experiment.costs or run.experiment.galleries else strip_sets(run),
            artifacts=provenance.artifact_lines(run),
            environments=provenance.environments(run),
            protocols=provenance.protocols(run),
            fingerprints=provenance.fingerprints(run),
            config=provenance.config_text(run.config),
        )
    )


def render_study(view: StudyView) -> str:
    """The page of one study."""
    return _environment().get_template("study.html.j2").render(view=view, run=view.run, refresh=None)


def render_index(entries: Sequence[Entry], studies: Sequence[StudyView] = ()) -> str:
    """The overview of all claims, tables and studies; the scale is said once if all have the same."""
    scales = {(entry.run.profile, entry.run.data): entry.run for entry in entries}
    tally: Counter[Outcome] = Counter()
    for entry in entries:
        if not entry.run.meaningless:
            tally.update(entry.tally)
    return (
        _environment()
        .get_template("index.html.j2")
        .render(
            entries=entries,
            studies=studies,
            scale=next(iter(scales.values())) if len(scales) == 1 else None,
            tally=tally,
            refresh=REFRESH_SECONDS if any(entry.status.refresh for entry in entries) else None,
            metrics=(METRICS | QUANTITIES).values(),
        )
    )


def _entry(run: TableRun, name: str) -> Entry:
    verdicts = judge(run)
    return Entry(run, name, run_status(run), claim_views(run, verdicts), claim_tally(verdicts))


def _by_category(settings: Sequence[SettingLine]) -> list[tuple[str, list[SettingLine]]]:
    # In the paper's order, which jinja's own groupby would not keep.
    return [(name, list(lines)) for name, lines in groupby(settings, key=lambda line: line.category)]


def _requested(run: TableRun) -> datetime:
    moment = datetime.fromisoformat(run.requested)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["moment"] = _moment
    environment.filters["config"] = provenance.config_text
    environment.filters["rough"] = rough_duration
    environment.filters["percent"] = lambda share: f"{100 * share:.0f} %"
    environment.filters["svg"] = Markup
    environment.globals["chart"] = _chart
    environment.globals["swatch"] = lambda index: Markup(swatch(index))
    return environment


def _chart(panel: Panel) -> Markup:
    # Safe: the SVG is drawn from numbers and from words of ours alone.
    return Markup(draw(panel))


def _moment(iso: str) -> str:
    return f"{datetime.fromisoformat(iso):%d %b %Y, %H:%M %Z}".strip()


def _write(path: Path, text: str) -> None:
    """Replace the file in one step: a reader sees the old page or the new one, never half of one."""
    temporary = unfinished(path)
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
