"""A metric of your own, with its own chart: how sharp are reconstructions compared with the originals?

    python -m experiments run own_metric.py

Its numbers appear in the tables, in the exports and in MLflow like all others, and claims can compare them.
The section at the end of this file adds a chart to the experiment's page.
"""

from __future__ import annotations

from markupsafe import Markup
from torch import Tensor

from experiments.records import Run
from experiments.records.frame import select
from experiments.specs import Claim, Experiment, Row
from reports.charts import Axis, row_chart
from reports.html import Charts, Note, rows_legend, section
from sftok.metrics.accumulators import MeanOverImages
from sftok.metrics.base import Measured, Metric, MetricConfig, Setup
from sftok.metrics.quantity import Quantity


class SharpnessConfig(MetricConfig):
    """The metric describes itself here; reports and verdicts need nothing else."""

    quantities = (
        Quantity(
            name="sharpness",
            label="Sharpness",
            meaning="mean slope of the images, as a share of that of the originals",
        ),
    )
    needs = frozenset({"images", "originals"})

    def build(self, setup: Setup) -> Metric:
        """Build an accumulator; this is called once for each number of decoding steps."""
        return Sharpness()


class Sharpness(MeanOverImages):
    """The mean over images of a ratio: 1 means as sharp as the original, 0 means flat."""

    name = "sharpness"

    def per_image(self, batch: Measured) -> Tensor:
        """The ratio of each image, `[B]`."""
        assert batch.images is not None
        assert batch.originals is not None
        return slope(batch.images) / slope(batch.originals).clamp_min(1e-6)


def slope(images: Tensor) -> Tensor:
    """The mean absolute difference between neighboring pixels of images `[B, 3, H, W]`: `[B]`."""
    return images.diff(dim=-1).abs().mean((1, 2, 3)) + images.diff(dim=-2).abs().mean((1, 2, 3))


EXPERIMENT = Experiment(
    name="own-metric",
    kind="ablation",
    title="Sharpness over decoding steps",
    source="examples/own_metric.py",
    description="Vanilla training and SFVR, measured with one more metric.",
    rows=tuple(
        Row(
            name=name,
            label=label,
            overrides={
                "stage2.context.replacement_ratio": ratio,
                "evaluation.metrics": ["rfid", "own_metric:SharpnessConfig"],
            },
        )
        for name, label, ratio in (("vanilla", "Vanilla", 0.0), ("sfvr", "SFVR", 1.0))
    ),
    claims=(
        Claim(
            name="steps-sharpen",
            text="With SFVR, more steps give sharper images",
            source="our own guess",
            metric="sharpness",
            order="sfvr@1 < sfvr@8",
        ),
    ),
)


class SharpnessChart:
    """A section of the page; `SECTIONS` below lists it."""

    ORDER, TITLE = 25, "Sharpness"

    def applies(self, run: Run) -> bool:
        """Whether there is anything to show yet."""
        return not select(run.frame, metric="sharpness").empty

    def render(self, run: Run) -> Markup:
        """`run.frame` has one line per number; `row_chart` draws one curve per row, a mean over seeds."""
        numbers = select(run.frame, metric="sharpness")
        chart = row_chart(run, numbers, "steps", Axis("decoding steps", "powers"), "sharpness")
        note = Note("1 is as sharp as the originals.", "small")
        return section(run, self.TITLE, note, Charts((chart,) if chart else (), rows_legend(run)))


SECTIONS = (SharpnessChart(),)
