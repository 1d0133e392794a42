"""Rows whose subject is a tokenizer trained on pixels: what is planned for them, and what it depends on."""

from __future__ import annotations

from typing import Any

import pytest
from plans import planned
from small_pixels import PATCHES

from experiments.planning.plan import Plan
from experiments.planning.requests import new_request
from experiments.planning.rows import PlannedRow
from experiments.specs import Experiment, Row
from sftok.config import ConfigError

PARTS = {"pixels.autoencoder": {"name": PATCHES}, "pixels.latent_dim": 4}


def experiment(*rows: Row) -> Experiment:
    return Experiment(name="own", kind="table", title="t", source="s", description="d", rows=rows)


def row(name: str = "patches", measures: str = "reconstruction", **overrides: Any) -> Row:
    own = PARTS | {key.replace("__", "."): value for key, value in overrides.items()}
    return Row.build(
        {"name": name, "label": name, "subject": "pixels", "measures": measures, "overrides": own}
    )


def plan(*rows: Row, **overrides: Any) -> Plan:
    return planned(experiment(*rows), overrides)


def kinds(made: PlannedRow) -> list[str]:
    """What the row needs, without the further feature spaces."""
    return [artifact.kind for artifact in made.artifacts if artifact.kind != "judge"]


def test_such_a_row_needs_no_teacher() -> None:
    made = plan(row())
    assert kinds(made.rows[0]) == ["pixels", "classifier", "evaluation"]
    assert made.reference is None


def test_no_setting_of_the_teacher_is_part_of_its_key() -> None:
    other = plan(row(), **{"teacher.steps": 2, "tokenizer_steps": 900})
    assert plan(row()).rows[0].evaluation == other.rows[0].evaluation


def test_a_generator_learns_its_flat_ids() -> None:
    (made,) = plan(row(measures="generation")).rows
    assert kinds(made) == ["pixels", "tokens", "generator", "classifier", "guidance", "generation"]
    generator = made.training[-1]
    assert (generator.num_tokens, generator.vocabulary) == (16, 1024)  # type: ignore[attr-defined]


def test_a_page_says_how_many_tokens_it_has_here() -> None:
    request = new_request(plan(row()), ["run", "own"], "data", {})
    assert request.facts["patches"] == {"Token length": "16", "#Code": "1,024"}


def test_a_share_of_its_ids_cannot_be_decoded() -> None:
    with pytest.raises(ConfigError, match="kept_share"):
        plan(row(), **{"evaluation.kept_share": 0.5})


def test_parts_that_do_not_fit_are_refused_before_any_work() -> None:
    wrong = row(pixels__autoencoder={"name": PATCHES, "patch_size": 5})
    with pytest.raises(ConfigError, match="not a multiple of patch_size 5"):
        plan(wrong)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {
                "pixels.quantizer": {"name": "projected", "codebook_size": 20, "source_dim": 31},
                "pixels.codebook": {"features": {"name": "classifier", "level": 2}},
            },
            r"pixels.quantizer.source_dim = 31: features of 'classifier' have 32 channels",
        ),
        ({"pixels.semantic": {"features": {"name": "classifier", "level": 9}}}, "no level 9"),
        (
            {"pixels.quantizer": {"name": "residual"}, "pixels.training.gradient_accumulation": 2},
            "the quantizer 'residual' changes with every batch",
        ),
        (
            {
                "pixels.quantizer": {"name": "lfq", "bits": 4, "entropy_boost": 2},
                "pixels.training.gradient_accumulation": 2,
            },
            "the quantizer 'lfq' changes with every batch",
        ),
        (
            {
                "pixels.quantizer": {"name": "multiscale", "scales": [1, 2, 4], "branches": 4},
                "pixels.semantic": {"features": {"name": "classifier"}},
            },
            r"branches differ: {'quantizer': 4, 'semantic': 2}",
        ),
    ],
)
def test_parts_that_contradict_each_other_are_refused_before_any_work(overrides: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(row(), **overrides)


def test_gradients_accumulate_around_quantizers_that_keep_no_count() -> None:
    lfq = {"pixels.quantizer": {"name": "lfq", "bits": 4}, "pixels.training.gradient_accumulation": 2}
    assert plan(row(), **lfq).rows[0].training[0].training.gradient_accumulation == 2  # type: ignore[attr-defined]
