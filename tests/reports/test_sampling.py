"""The table of the generators' size and speed."""

from __future__ import annotations

from typing import Any

from stored_runs import StoreMaker, line

from experiments.specs import Experiment, Row
from reports.sections import rates, sampling
from reports.tables import Line

ROWS = (
    Row(name="ldm-4", label="LDM-4", subject="pixels", measures="generation", facts={"#Type": "diffusion"}),
    Row(name="published", label="Published", trained=False, measures="generation"),
)
SPEC = Experiment(
    name="table2", kind="table", title="Generation", source="Table 2", description="", rows=ROWS, rates=True
)


def measure(row: str, seed: int) -> list[dict[str, Any]]:
    values = {"generator_parameters": 703_907.0, "sampling_steps": 50.0, "sampling_rate": 12.0 + 2 * seed}
    return [line(name, value, subject="generation") for name, value in values.items()]


def cells(shown: Line) -> list[str]:
    return [cell.text for cell in shown.cells]


def test_each_generator_has_its_size_steps_and_speed(maker: StoreMaker) -> None:
    run = maker.run(SPEC, seeds=(0, 1), measure=measure)
    assert sampling.applies(run)
    assert not rates.applies(run), "bits per image are about tokenizers"
    first, other = sampling.table(run).groups[0].lines
    assert cells(first)[:4] == ["diffusion", "704 k", "50", "13"]
    assert cells(other)[1:] == ["", "", "", ""]
    assert "Sampling steps" in sampling.render(run)


def test_it_is_shown_only_where_it_is_measured(maker: StoreMaker) -> None:
    plain = SPEC.model_copy(update={"rates": False})
    assert not sampling.applies(maker.run(plain, seeds=(0,), measure=measure))
