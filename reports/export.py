"""Tables of numbers as CSV and JSON, and the headline table as LaTeX."""

from __future__ import annotations

import json
import math

import pandas as pd

from experiments.records import Run
from reports.tables import Cell, Column, Line


def to_csv(frame: pd.DataFrame) -> str:
    """The frame as CSV with a header; missing values are empty, and floats keep every digit."""
    if "value" in frame:  # a measured value is never missing, even if it is NaN
        frame = frame.assign(value=frame["value"].astype(object).where(frame["value"].notna(), "nan"))
    return frame.to_csv(index=False, lineterminator="\n")


def to_json(frame: pd.DataFrame) -> str:
    """An array with one object per row; missing and non-finite values are null, because JSON has no NaN."""
    records = [{name: _plain(value) for name, value in record.items()} for record in frame.to_dict("records")]
    return json.dumps(records, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_latex(run: Run) -> str:
    """The headline table for a paper: `booktabs`, mean ± 95 % interval over seeds, best values bold."""
    # Imported here, because sections import Matplotlib, which commands that print numbers do not need.
    from reports.sections.results import headline

    table = headline(run)
    columns = [column for column in table.columns if column.name != "Training"]
    kept = [table.columns.index(column) - 1 for column in columns[1:]]
    body = [[_line(line, kept) for line in group.lines] for group in table.groups]
    lines = [
        _comment(run),
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_caption(run)}}}",
        rf"\label{{tab:{run.experiment.name}}}",
        rf"\begin{{tabular}}{{l{''.join('l' if column.words else 'r' for column in columns[1:])}}}",
        r"\toprule",
        *_header(columns),
        *(line for group in body for line in (r"\midrule", *group)),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
        "",
    ]
    return "\n".join(lines)


def escape_latex(text: str) -> str:
    """Escape `text` for LaTeX; line breaks become spaces."""
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


def _plain(value: object) -> object:
    if pd.isna(value) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value


def _comment(run: Run) -> str:
    text = f"{run.experiment.name}, profile {run.request.profile}, requested {run.request.requested}"
    return "% " + " ".join(text.split()) + r"; needs \usepackage{booktabs}"


def _caption(run: Run) -> str:
    warning = r"\textbf{Smoke run: the numbers are meaningless.} " if run.request.meaningless else ""
    count = len(run.request.seeds)
    return warning + escape_latex(
        f"{run.experiment.title} ({run.experiment.source}). Published values against ours: profile "
        f"{run.request.profile}, {run.request.data}, T={run.experiment.headline_steps} decoding steps, mean "
        f"± 95 % interval over {count} seed{'s' if count != 1 else ''}."
    )


def _header(columns: list[Column]) -> list[str]:
    names = ["", *(column.name for column in columns[1:])]
    notes = ["", *(column.notes[0] if column.notes else "" for column in columns[1:])]
    return [" & ".join(map(escape_latex, cells)) + r" \\" for cells in (names, notes)]


def _line(line: Line, kept: list[int]) -> str:
    cells = [_cell(line.cells[place]) for place in kept]
    if line.note == "published only":
        cells[-1] = line.note
    return " & ".join([escape_latex(line.label) or "--", *cells]) + r" \\"


def _cell(cell: Cell) -> str:
    text = escape_latex(cell.text) or "--"
    return rf"\textbf{{{text}}}" if cell.best else text
