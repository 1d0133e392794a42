"""The record of a study refuses what could not be searched; the shipped studies plan at every profile."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.artifacts.evaluation import Evaluation
from experiments.profiles import PROFILES
from experiments.specs import Choice, FloatRange, MedianPruner, Sampler, Study
from experiments.specs.registry import Registry
from experiments.studies.search import SPLIT, Search
from sftok.config import ConfigError

REGISTRY = Registry(["experiments.paper", "ablations"])
STUDIES = REGISTRY.studies()
RATE = FloatRange(keys=("stage2.training.optimizer.learning_rate",), low=1e-3, high=1e-2, log=True)
LOOKUP = Choice(keys=("evaluation.final_lookup",), choices=("hard", "soft"))


def a_study(**changes: Any) -> Study:
    values = {
        "name": "tiny",
        "title": "t",
        "description": "d",
        "experiment": "table4",
        "row": "ratio-1.0",
        "space": {"lookup": LOOKUP},
        "trials": 3,
    }
    return Study(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": {"rate": RATE}, "fixed_checkpoint": True}, "checkpoint is fixed"),
        ({"fixed_checkpoint": True, "pruner": MedianPruner()}, "nothing can be pruned"),
        ({"space": {"rate": RATE}, "sampler": Sampler(name="grid")}, "choices, not ranges"),
        ({"space": {"a": LOOKUP, "b": LOOKUP}}, "two dimensions set"),
        ({"space": {"s": Choice(keys=("evaluation.split",), choices=("validation", "test"))}}, "objective"),
    ],
)
def test_refusals(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        a_study(**changes)


def test_a_range_has_two_ends() -> None:
    with pytest.raises(ValueError, match="not a range"):
        FloatRange(keys=("a",), low=1, high=1)
    with pytest.raises(ValueError, match="not a range"):
        FloatRange(keys=("a",), low=0, high=1, log=True)


def test_a_metric_that_no_evaluation_measures_describes_nothing() -> None:
    described = search(a_study()).metric()
    assert described is not None
    assert described.heading == "rFID ↓"
    assert search(a_study(objective={"metric": "beauty"})).metric() is None


def test_a_study_survives_json() -> None:
    for study in STUDIES.values():
        assert Study.build(study.model_dump(mode="json")) == study


def search(study: Study, profile: str = "smoke", **overrides: Any) -> Search:
    return Search(
        study=study,
        experiment=REGISTRY.experiment(study.experiment),
        profile=PROFILES[profile],
        overrides=overrides,
        fingerprints={"train": "a", SPLIT: "b"},
    )


@pytest.mark.parametrize("profile", ["smoke", "cpu", "gpu", "paper"])
@pytest.mark.parametrize("name", STUDIES)
def test_shipped_studies_plan(name: str, profile: str) -> None:
    search(STUDIES[name], profile).check()


def test_trials_are_measured_on_validation_images_at_the_objectives_steps() -> None:
    planned = search(a_study()).plan({"lookup": "soft"})
    evaluation = planned.artifacts[-1]
    assert evaluation == planned.rows[0].evaluation
    assert set(evaluation.data) == {SPLIT}
    assert isinstance(evaluation, Evaluation)
    assert evaluation.protocol.steps == (8,)
    assert evaluation.protocol.final_lookup == "soft"
    assert [each.label for each in evaluation.protocol.extractors] == ["classifier"]
    assert planned.rows[0].seed == 100


def test_a_fixed_checkpoint_is_one() -> None:
    searched = search(STUDIES["sampling"])
    one = searched.plan({"temperature": 0.0, "schedule": "arccos", "lookup": "hard"})
    other = searched.plan({"temperature": 1.5, "schedule": "sqrt", "lookup": "soft"})
    assert one.rows[0].training == other.rows[0].training
    assert one.rows[0].evaluation != other.rows[0].evaluation


def test_what_is_measured_or_searched_cannot_be_overridden() -> None:
    with pytest.raises(ConfigError, match=r"evaluation\.split is part of what the study"):
        search(a_study(), **{"evaluation.split": "test"}).check()
    with pytest.raises(ConfigError, match=r"differ in evaluation\.final_lookup"):
        search(a_study(), **{"evaluation.final_lookup": "soft"}).check()


def test_a_bad_range_is_found_before_any_trial() -> None:
    wrong = FloatRange(keys=("stage2.context.replacement_ratio",), low=0.5, high=1.5)
    with pytest.raises(ConfigError, match=r"replacement_ratio = 1\.5"):
        search(a_study(space={"ratio": wrong})).check()


def test_the_identity_is_that_of_everything_but_the_length() -> None:
    assert search(a_study()).identity() == search(a_study(trials=9, title="other")).identity()
    assert search(a_study()).identity() != search(a_study(sampler=Sampler(seed=1))).identity()
    assert search(a_study()).identity() != search(a_study(), **{"stage1.steps": 1}).identity()
