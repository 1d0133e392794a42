"""The published configuration next to the profile's (Table 6)."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from markupsafe import Markup

from experiments.records import Run
from reports.html import section
from reports.tables import Cell, Column, Group, Line, Table, texts

ORDER, TITLE = 70, "Configuration"

MARKS = {True: "= the same", False: "≠ different", None: ""}


def applies(run: Run) -> bool:
    """Whether the experiment has published settings."""
    return bool(run.request.settings)


def render(run: Run) -> Markup:
    """The printed values and the profile's resolved values."""
    profile = run.request.profile
    caption = (
        f"Values by stage, as printed in the paper and as resolved for profile {profile}. Lines without a "
        "mark have nothing to compare."
    )
    stages = [Column(f"Stage {stage}") for stage in (1, 2, 3)]
    columns = (Column("Parameter"), *stages, *stages, Column("Compared", words=True))
    # The settings are in the paper's order.
    categories = groupby(run.request.settings, key=lambda setting: setting["category"])
    groups = tuple(Group(name, tuple(map(_line, settings))) for name, settings in categories)
    heads = (("", 1), ("Published", 3), (f"Profile {profile}", 3), ("", 1))
    return section(
        run, "Published configuration against this profile's", Table(caption, columns, groups, heads)
    )


def _line(setting: dict[str, Any]) -> Line:
    cells = (*texts([*setting["published"], *setting["here"]]), Cell(MARKS[setting["agrees"]]))
    return Line(setting["parameter"], cells, note=setting["note"])
