"""Results as CSV, JSON and LaTeX."""

from __future__ import annotations

from collections.abc import Iterable

from experiments.records.flat import csv_text, json_text
from experiments.records.results import ResultRow, TableRun
from experiments.records.verdicts import cells
from reports.tables import Cell, Headline, Line, headline

FIELDS = tuple(ResultRow.model_fields)
"""Columns of the flat table, in the order of the record."""


def result_rows(run: TableRun) -> list[ResultRow]:
    """All numbers of a run, the references last."""
    return [*(result for row in run.rows for result in row.results), *run.references]


def to_csv(rows: Iterable[ResultRow]) -> str:
    """One line a number under a header of the field names."""
    return csv_text(FIELDS, (row.model_dump() for row in rows))


def to_json(rows: Iterable[ResultRow]) -> str:
    """A JSON array with one object a number."""
    return json_text(row.model_dump() for row in rows)


def to_latex(run: TableRun) -> str:
    """The headline table for a paper: `booktabs`, mean ± 95 % interval over seeds, best values bold."""
    table = headline(run, cells(run))
    columns = "l" + "l" * len(table.facts) + "r" * (len(table.published) + len(table.columns)) + "r"
    lines = [
        _comment(run),
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_caption(run, table)}}}",
        rf"\label{{tab:{run.experiment.name}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        *_header(table),
        r"\midrule",
        *(_line(line) for line in table.lines),
    ]
    if table.references:
        lines += [r"\midrule", *(_line(line) for line in table.references)]
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    return "\n".join(lines)


def escape_latex(text: str) -> str:
    """`text` so that LaTeX prints it as it is; line breaks become spaces."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": "$-$",
    "±": r"$\pm$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "∞": r"$\infty$",
    "×": r"$\times$",
    "†": r"\dag{}",
}


def _comment(run: TableRun) -> str:
    text = f"{run.experiment.name}, profile {run.profile}, requested {run.requested}"
    return "% " + " ".join(text.split()) + r"; needs \usepackage{booktabs}"


def _caption(run: TableRun, table: Headline) -> str:
    warning = r"\textbf{Smoke run: the numbers are meaningless.} " if run.meaningless else ""
    seeds = f"{len(run.seeds)} seed{'s' if len(run.seeds) != 1 else ''}"
    text = (
        f"{run.experiment.title} ({run.experiment.source}). Published values against ours: "
        f"profile {run.profile}, {run.data}, T={table.steps} decoding steps, "
        f"mean ± 95 % interval over {seeds}."
    )
    return warning + escape_latex(text)


def _header(table: Headline) -> list[str]:
    names = ["", *table.facts, *(f"{info.heading}" for info in table.published)]
    spaces = ["", *("published" for _ in (*table.facts, *table.published))]
    names += [column.metric.heading for column in table.columns] + ["Seeds"]
    spaces += [column.extractor for column in table.columns] + [""]
    return [" & ".join(map(escape_latex, cells)) + r" \\" for cells in (names, spaces)]


def _line(line: Line) -> str:
    numbers = [_cell(cell) for cell in (*line.published, *line.measured)]
    words = [escape_latex(word) or "--" for word in (line.label, *line.facts)]
    last = escape_latex(line.seeds if line.trained else line.state)
    return " & ".join([*words, *numbers, last]) + r" \\"


def _cell(cell: Cell) -> str:
    text = escape_latex(cell.text) or "--"
    return rf"\textbf{{{text}}}" if cell.best else text
