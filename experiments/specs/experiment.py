"""The definition of an experiment: data that names its rows, the published numbers and the claims.

A spec has no control flow and does not import torch. A row is an entry, not code, and lists its differences
from the profile. The specs themselves are in `experiments/paper/` and `ablations/`.
"""

from __future__ import annotations

import re
from typing import Any, Literal, Self, get_args

from pydantic import Field, model_validator

from experiments.specs.claims import Claim
from sftok.config import Config, choices_hint

Subject = Literal["tokenizer", "teacher", "pixels"]

RESERVED = frozenset({"index", "evaluate"})
"""Names of pages of other content."""

RESERVED_ROWS = frozenset({"teacher", "real"})
"""Names of the reference rows of every table."""


class Release(Config):
    """Weights published by the authors of a row's system."""

    file: str
    """The authors' name of the file."""
    source: str
    """Where to download it."""


class FoundWeights(Config):
    """The released weights of a row, which is measured with them instead of being trained."""

    path: str
    content: str
    """Hash of weights and configuration."""
    image_size: int
    num_tokens: int
    vocabulary: int
    iterative: bool
    """Whether the tokenizer decodes in steps."""
    single_step: bool
    """Whether it is a single-step tokenizer, compared with iterative ones at one step."""


class Row(Config):
    """One line of a table: a name, and the differences of its configuration from the profile."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    label: str = ""
    as_in: str = ""
    """Another experiment from which the row of this name is borrowed, except for fields given here."""
    variants: tuple[str, ...] = ()
    """Changes that each profile defines at its own scale (`Profile.variants`), e.g. `larger-decoder`."""
    overrides: dict[str, Any] = {}
    """Changes that are the same at every scale; they override the variants."""
    published: dict[str, float] = {}
    """Published values by metric name, from the spec's `source`."""
    facts: dict[str, str] = {}
    """Other published facts by column heading, such as token length and number of codes."""
    trained: bool = True
    """False for a system whose published numbers are shown, but which is never run or judged."""
    subject: Subject = "tokenizer"
    """The measured model: the trained tokenizer, the 2D teacher itself, or a tokenizer trained on pixels
    (`Recipe.pixels`); the last two have no decoding steps."""
    measures: Literal["reconstruction", "generation", "calibration"] = "reconstruction"
    """What is measured: the subject's reconstructions, or images from a generator trained on its ids;
    `calibration` measures the feature spaces themselves, on distorted reconstructions of the teacher."""
    note: str = ""
    """A note on the published values, such as their protocol or source."""
    apart: bool = False
    """True for a system that is not in the paper; its authors' numbers are shown below the others."""
    steps: int | None = Field(default=None, ge=1)
    """Decoding steps of the headline if they differ from the table's, e.g. 1 for a single-step tokenizer."""
    release: Release | None = None
    """None if no weights were published that this package reads."""
    found: FoundWeights | None = None
    """Set by `run --released`."""

    @model_validator(mode="after")
    def _says_what_it_is(self) -> Self:
        if not self.label and not self.as_in:
            raise ValueError(f"row {self.name!r} has no label")
        if not self.trained and (self.overrides or self.variants):
            raise ValueError(f"row {self.name!r} is not trained here, so it has nothing to override")
        if self.apart and self.trained:
            raise ValueError(f"row {self.name!r} is set apart, which is only for rows that are not trained")
        return self


class Curve(Config):
    """A quantity of the training log that a figure shows, with one line per row and seed.

    For claims, its final value is a metric named `final_` and the quantity: the mean over the last tenth of
    its last stage.
    """

    title: str
    """The paper's title, e.g. `Figure 9: discriminator loss`."""
    stages: tuple[str, ...] = Field(min_length=1)
    """The stages whose logs contain it, in order: `warm-up`, `alignment`, `fine-tuning`."""
    quantity: str
    """The name of the quantity in the logs."""


class Setting(Config):
    """A line of the paper's configuration table: the printed values by stage, and the key of ours."""

    category: str
    parameter: str
    published: tuple[str, str, str]
    """The printed values for stages 1, 2 and 3; `-` if a stage has none."""
    key: str = ""
    """Key of the resolved configuration (`experiments.planning.settings`), or empty; `{n}` is the stage."""
    note: str = ""
    """Why there is no key, or how to read its value."""


class Gallery(Config):
    """Pictures that a figure shows, drawn from the examples of the rows' evaluations."""

    title: str
    """The paper's title, e.g. `Figure 5: reconstructions by several systems`."""
    layout: Literal["systems", "steps", "classes"]
    """The same images from every row, or from one row at every number of steps, or class by class."""


class Experiment(Config):
    """A declarative description of a table or figure of the paper, or of an ablation."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    kind: Literal["table", "figure", "ablation", "sweep"]
    title: str
    source: str
    """Location in the paper, e.g. `Table 4, Section 4.4`."""
    description: str
    rows: tuple[Row, ...] = Field(min_length=1)
    headline_steps: int = Field(default=8, ge=1)
    """Number of decoding steps of the published values."""
    claims: tuple[Claim, ...] = ()
    facts: tuple[str, ...] = ()
    """The rows' facts to show as columns, in order."""
    costs: bool = False
    """Whether the cost of the stages is a result: time, speed, memory, and a projection (Table 5)."""
    rates: bool = False
    """Whether bits per image (of tokenizers), size and speed are shown next to the results (Tables 1, 2)."""
    curves: tuple[Curve, ...] = ()
    """Training curves that are results (Figures 4b, 9 to 14)."""
    analyses: tuple[str, ...] = ()
    """Analyses of each trained row in addition to its evaluation: what every decoding step knows (Figure 4a),
    what a context is worth (Appendix C)."""
    galleries: tuple[Gallery, ...] = ()
    """Pictures that are results (Figures 5 to 7)."""
    settings: tuple[Setting, ...] = ()
    """The published configuration, shown next to the profile's (Table 6)."""
    swept: tuple[str, ...] = ()
    """The keys that a sweep varies; the rows' overrides hold the values (`experiments.specs.sweep`)."""

    @property
    def place(self) -> tuple[int, bool, int, str]:
        """Sort key for lists: by kind, then by number; experiments without a number come last."""
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
        if self.name in RESERVED:
            raise ValueError(f"{self.name}: this name is taken; rename the experiment")
        if taken := sorted(RESERVED_ROWS & set(names)):
            raise ValueError(f"{self.name}: a row cannot be named {taken[0]!r}, as a reference is")
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
        """Number of decoding steps of the published values of `row`."""
        return self.row(row).steps or self.headline_steps

    def row(self, name: str) -> Row:
        """The row named `name`, which must exist."""
        return next(row for row in self.rows if row.name == name)
