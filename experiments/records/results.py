"""The stored results of a run, as records that a report, a tracker or a script reads.

Nothing here computes: a `TableRun` is what the store knows about one request (`run table4 --seeds 3`),
complete or not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from experiments.spec import Experiment
from sftok.config import Config

Status = Literal["waiting", "running", "done", "failed"]


class ResultRow(Config):
    """One number: the flat row that `results --format csv` prints."""

    table: str
    row: str
    seed: int
    profile: str
    steps: int | None
    """Decoding steps T; None where there is no decoding (the teacher, the real images). Of a `step_` metric
    (`experiments.records.quantities`), which of the steps it is, from 1."""
    temperature: float | None
    metric: str
    extractor: str
    """Name and resolution of the feature space; empty for pixel and code metrics."""
    value: float
    n_images: int
    artifact: str
    """Key of the evaluation artifact that the number comes from."""


class ArtifactState(Config):
    """One artifact of a run, as it stands."""

    kind: str
    stage: str = ""
    """What it does, more closely than its kind: `warm-up`, `alignment`, `fine-tuning`."""
    key: str
    label: str
    status: Status
    progress: float | None = None
    """Fraction done, in [0,1], while it runs."""
    remaining_seconds: float | None = None
    error: str | None = None
    note: str | None = None
    """Why it waits: what blocks it, or its cluster job's state."""
    seconds: float | None = None
    shared_by: int = 1
    """How many rows and seeds of the run use it."""
    folder: Path | None = None
    """Where its files are, once it has any; `metrics.jsonl` there holds the training curve."""
    provenance: dict[str, Any] = {}
    """commit, config_hash, versions, cpu, threads, started, seconds, peak_rss_bytes."""


class SamplingPoint(Config):
    """One way to sample from a generator, with what it gave where guidance is chosen."""

    schedule: str
    scale: float
    """Of the guidance; 0 is none."""
    temperature: float
    gfid: float


class Sampling(Config):
    """How the guidance of a generator was chosen, on images that are not those of the evaluation."""

    points: tuple[SamplingPoint, ...]
    chosen: SamplingPoint
    extractor: str
    """The feature space of the choice."""
    reference: str
    """The images that it was made on."""
    n_images: int
    seed: int
    """Of the samples that are reported."""


class RowRun(Config):
    """One row of a table at one seed."""

    row: str
    seed: int
    status: Status
    evaluation: ArtifactState
    analyses: tuple[ArtifactState, ...] = ()
    """What else is measured of it, if the experiment asks for more than an evaluation."""
    training: tuple[ArtifactState, ...]
    """The training stages of this row in order (warm-up, alignment, ...)."""
    protocol: dict[str, Any] = {}
    results: tuple[ResultRow, ...] = ()
    sampling: Sampling | None = None
    """Of a row that generates, once it is chosen."""
    facts: dict[str, str] = {}
    """What the row is at this profile, by the column headings of `Row.facts`: its tokens, its codes."""


GPU_FLOPS = 33e12
"""Useful operations a second of one GPU: a fifth of what an RTX 4090 does at best in fp16 (165e12, dense)."""


class StageCost(Config):
    """What one training stage of one row took, and what it would take at the paper's size."""

    row: str
    seed: int
    stage: str
    """As in `ArtifactState.stage`."""
    images: int
    """Training images seen: steps times batch size."""
    seconds: float
    images_per_second: float
    peak_bytes: int | None
    """The largest resident size of the process that trained it, up to its end."""
    flops_per_image: float
    """Floating-point operations of one training step by image, by counting."""
    paper_images: int
    paper_flops_per_image: float

    @property
    def flops_per_second(self) -> float:
        """What this machine made of it."""
        return self.flops_per_image * self.images_per_second

    @property
    def paper_hours_here(self) -> float:
        """Hours of the same stage at the paper's size, on this machine at the same rate."""
        return self.paper_images * self.paper_flops_per_image / self.flops_per_second / 3600

    @property
    def paper_gpu_hours(self) -> float:
        """Estimated GPU hours of the same stage at the paper's size, at `GPU_FLOPS`."""
        return self.paper_images * self.paper_flops_per_image / GPU_FLOPS / 3600


class SettingLine(Config):
    """One line of the published configuration beside the profile's own."""

    category: str
    parameter: str
    published: tuple[str, ...]
    here: tuple[str, ...]
    agrees: bool | None
    """Whether both say the same; None where there is nothing to compare."""
    note: str


class TableRun(Config):
    """Everything stored about one request for one experiment."""

    experiment: Experiment
    profile: str
    meaningless: bool
    """True for the smoke profile: its numbers say only that the code runs."""
    seeds: tuple[int, ...]
    overrides: dict[str, Any]
    data: str
    """Name and size of the data set."""
    command: str
    requested: str
    """ISO time of the last request."""
    primary_extractor: str
    """The feature space that the profile names for its headline verdicts, chosen before any result."""
    artifacts: tuple[ArtifactState, ...]
    rows: tuple[RowRun, ...]
    references: tuple[ResultRow, ...] = ()
    """The teacher's own reconstruction and the real images, rows named `teacher` and `real`."""
    config: dict[str, Any]
    """The resolved configuration without the rows' overrides."""
    complete: bool
    costs: tuple[StageCost, ...] = ()
    """Of finished stages, where the experiment asks for costs."""
    settings: tuple[SettingLine, ...] = ()
    """Where the experiment has published settings."""
