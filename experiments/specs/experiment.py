"""What an experiment is: data that names its rows, the published numbers and the claims.

A spec has no control flow and imports no torch. A row is an entry, not code: how it differs
from the profile. The specs themselves are in `experiments/paper/` and `ablations/`.
"""

from __future__ import annotations

import re
from typing import Any, Literal, Self, get_args

from pydantic import Field, model_validator

from experiments.specs.claims import Claim
from sftok.config import Config, choices_hint

Subject = Literal["tokenizer", "teacher", "pixels"]


class Release(Config):
    """The weights that the authors of a row's system have published."""

    file: str
    """As its authors call it."""
    source: str
    """Where to get it."""


class FoundWeights(Config):
    """A row's released weights, opened: the row is measured with them and not trained."""

    path: str
    content: str
    """Hash of weights and configuration."""
    image_size: int
    num_tokens: int
    vocabulary: int
    iterative: bool
    """Whether it decodes in steps."""
    single_step: bool
    """Whether its numbers stand beside those of iterative tokenizers at one step."""


class Row(Config):
    """One line of a table: a name, and how its configuration differs from the profile."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    label: str = ""
    as_in: str = ""
    """Another experiment whose row of this name it is, but for the fields that are given here."""
    variants: tuple[str, ...] = ()
    """Changes that each profile spells out at its own scale (`Profile.variants`): `larger-decoder`."""
    overrides: dict[str, Any] = {}
    """Changes that are the same at every scale, over the variants."""
    published: dict[str, float] = {}
    """Published values by metric name, each where the spec's `source` says."""
    facts: dict[str, str] = {}
    """What else the paper says of the row, by column heading: its token length, its number of codes."""
    trained: bool = True
    """False for a system that only the paper reports on: it is shown, never run and never judged."""
    subject: Subject = "tokenizer"
    """What is measured: the trained tokenizer, the 2D teacher itself, or a tokenizer trained on pixels
    (`Recipe.pixels`); the last two have no decoding steps."""
    measures: Literal["reconstruction", "generation", "calibration"] = "reconstruction"
    """What of it: its reconstructions, or the images that a generator trained on its ids makes; `calibration`
    measures the feature spaces themselves, on distorted reconstructions of the teacher."""
    note: str = ""
    """What a reader must know of the published values: a matter of protocol, or their source."""
    apart: bool = False
    """For a system that the paper does not have: it is shown below the others, as its authors publish it."""
    steps: int | None = Field(default=None, ge=1)
    """Decoding steps of the headline, if they are not the table's: 1 for a single-step tokenizer."""
    release: Release | None = None
    """None where none was published, or none that this package reads."""
    found: FoundWeights | None = None
    """Set by `run --released`."""

    @model_validator(mode="after")
    def _says_what_it_is(self) -> Self:
        if not self.label and not self.as_in:
            raise ValueError(f"row {self.name!r} has no label")
        if not self.trained and (self.overrides or self.variants):
            raise ValueError(f"row {self.name!r} is not trained here, so it has nothing to override")
        if self.apart and self.trained:
            raise ValueError(f"row {self.name!r} stands apart, which only a row that is not trained can")
        return self


class Curve(Config):
    """A quantity of the training log that a figure shows: a line for each row and seed.

    Where it ends is a number of its own, for claims: the metric `final_` and the quantity's name, the mean
    over the last tenth of the last of its stages.
    """

    title: str
    """As in the paper: `Figure 9: discriminator loss`."""
    stages: tuple[str, ...] = Field(min_length=1)
    """Whose logs it stands in, one after the other: `warm-up`, `alignment`, `fine-tuning`."""
    quantity: str
    """Its name there."""


class Setting(Config):
    """A line of the paper's configuration table: what it prints by stage, and where that stands here."""

    category: str
    parameter: str
    published: tuple[str, str, str]
    """As printed, for stages 1, 2 and 3; `-` where a stage has none."""
    key: str = ""
    """Key of the resolved configuration (`experiments.planning.settings`), or empty; `{n}` is the stage."""
    note: str = ""
    """Why there is no key, or how its value reads."""


class Gallery(Config):
    """Pictures that a figure shows, drawn from the examples of the rows' evaluations."""

    title: str
    """As in the paper: `Figure 5: reconstructions by several systems`."""
    layout: Literal["systems", "steps", "classes"]
    """The same images by every row; by one row at every number of steps; or class by class."""


class Experiment(Config):
    """A table or figure of the paper (or an ablation of ours), declaratively."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    kind: Literal["table", "figure", "ablation", "sweep"]
    title: str
    source: str
    """Where it stands in the paper: `Table 4, Section 4.4`."""
    description: str
    rows: tuple[Row, ...] = Field(min_length=1)
    headline_steps: int = Field(default=8, ge=1)
    """The number of decoding steps at which the published values hold."""
    claims: tuple[Claim, ...] = ()
    facts: tuple[str, ...] = ()
    """Which of the rows' facts have a column, in order."""
    costs: bool = False
    """Whether what the stages cost is a result: time, speed, memory, and a projection (Table 5)."""
    rates: bool = False
    """Whether bits per image (of tokenizers), size and speed are shown beside the results (Tables 1, 2)."""
    curves: tuple[Curve, ...] = ()
    """Training curves that are results (Figures 4b, 9 to 14)."""
    analyses: tuple[str, ...] = ()
    """What is measured of each trained row beside its evaluation: what every decoding step knows (Figure 4a),
    what a context is worth (Appendix C)."""
    galleries: tuple[Gallery, ...] = ()
    """Pictures that are results (Figures 5 to 7)."""
    settings: tuple[Setting, ...] = ()
    """The published configuration, to be shown beside the profile's own (Table 6)."""
    swept: tuple[str, ...] = ()
    """The keys that a sweep varies; each row's overrides hold its values (`experiments.specs.sweep`)."""

    @property
    def place(self) -> tuple[int, bool, int, str]:
        """Where it stands in lists: tables before figures, by number, what has none after what has."""
        kinds = get_args(type(self).model_fields["kind"].annotation)
        number = re.search(r"\d+", self.name)
        return kinds.index(self.kind), number is None, int(number[0]) if number else 0, self.name

    @property
    def trained_rows(self) -> tuple[Row, ...]:
        """The rows that are run here, in order."""
        return tuple(row for row in self.rows if row.trained)

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        names = [row.name for row in self.rows]
        if duplicates := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{self.name}: two rows are named {duplicates[0]!r}")
        measured = [row.name for row in self.trained_rows]
        others = [row for row in self.trained_rows if row.subject != "tokenizer"]
        if others and self.analyses:
            raise ValueError(
                f"{self.name}: the subject of row {others[0].name!r} is {others[0].subject!r}; an analysis "
                "needs a tokenizer that decodes in steps"
            )
        points = [
            (claim.name, point.row)
            for claim in self.claims
            for pair in claim.comparisons
            for point in (pair.left, pair.right)
        ]
        for claim_name, row in points:
            if row not in names:
                hint = choices_hint(row, names)
                raise ValueError(f"{self.name}: claim {claim_name!r} names the unknown row {row!r}; {hint}")
            if row not in measured:
                raise ValueError(f"{self.name}: claim {claim_name!r} needs the untrained row {row!r}")
        return self

    def steps_of(self, row: str) -> int:
        """The number of decoding steps at which the published values of `row` hold."""
        return self.row(row).steps or self.headline_steps

    def row(self, name: str) -> Row:
        """The row of that name, which there is."""
        return next(row for row in self.rows if row.name == name)
