"""Sweeps: rows from combinations, shared with the tables, and refusals before anything runs."""

from __future__ import annotations

from typing import Any

import pytest
from plans import planned as planned_as

from ablations import stage3
from experiments.paper import table1, table2, table4
from experiments.planning.plan import Plan, refuse_incomparable
from experiments.specs import Experiment
from experiments.specs.sweep import MAX_ROWS, combinations, short_names, swept_experiment
from sftok.config import ConfigError

RATIO = "stage2.context.replacement_ratio"


def planned(experiment: Experiment, **overrides: Any) -> Plan:
    return planned_as(experiment, overrides, "smoke", (0, 1))


def ratios(*values: float) -> Experiment:
    return swept_experiment(table4.EXPERIMENT, combinations([(RATIO, list(values))], []))


def test_a_grid_is_a_product_with_the_last_key_fastest() -> None:
    found = combinations([("a", [1, 2]), ("b", ["x", "y"])], [])
    assert found == [{"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"}]
    listed = combinations([("c", [0, 1])], [{"a": 1}, {"a": 3}])
    assert [(each["a"], each["c"]) for each in listed] == [(1, 0), (1, 1), (3, 0), (3, 1)]


def test_rows_of_the_sweep_are_those_of_the_table_where_they_agree() -> None:
    sweep, table = planned(ratios(0, 0.5, 0.8, 1)), planned(table4.EXPERIMENT)
    evaluations = {(row.row, row.seed): row.evaluation for row in sweep.rows}
    for row in table.rows:
        ratio = float(row.row.removeprefix("ratio-"))
        assert evaluations[f"replacement_ratio-{ratio:g}", row.seed] == row.evaluation
    assert set(table.artifacts) < set(sweep.artifacts)
    assert len(set(sweep.artifacts) - set(table.artifacts)) == 2 * 2, "stage and evaluation of ratio 0, twice"


def test_a_sweep_of_generation_measures_generation() -> None:
    swept = swept_experiment(table2.EXPERIMENT, combinations([("generator.model.width", [16, 32])], []))
    assert {row.measures for row in swept.rows} == {"generation"}
    assert {row.evaluation.kind for row in planned(swept).rows} == {"generation"}


def test_a_row_of_the_paper_keeps_its_published_number_and_its_steps() -> None:
    published = {row.overrides[RATIO]: row.published for row in ratios(0, 0.5, 1).rows}
    assert published == {0: {}, 0.5: {"rfid": 4.96}, 1: {"rfid": 4.33}}
    keys = [("stage1.steps", ["all"]), ("evaluation.steps", [[1]])]
    (row,) = swept_experiment(table1.EXPERIMENT, combinations(keys, [])).rows
    assert (row.published["rfid"], row.steps) == (1.70, 1)


def test_rows_that_classifiers_of_their_own_would_measure_are_refused() -> None:
    swept = swept_experiment(table4.EXPERIMENT, combinations([("augmentation.flip", [True, False])], []))
    with pytest.raises(ConfigError, match=r"augmentation\.flip would be measured by an in-domain classifier"):
        refuse_incomparable(planned(swept))
    shared = {
        "evaluation.extractors": [{"name": "efficientnet-lite0"}],
        "evaluation.primary_extractor": "efficientnet-lite0",
    }
    refuse_incomparable(planned(swept, **shared))
    with pytest.raises(ConfigError, match=r"classifier\.steps cannot be swept: .* feature spaces"):
        combinations([("classifier.steps", [4, 6])], [])


def test_a_sweep_of_teachers_has_no_reference_that_is_nobodys() -> None:
    sizes = [("teacher.backbone.codebook_size", [32, 64])]
    swept = planned(swept_experiment(table4.EXPERIMENT, combinations(sizes, [])))
    assert swept.reference is None
    assert len([each for each in swept.artifacts if each.kind == "teacher"]) == 2
    assert planned(ratios(0, 1)).reference is not None


def test_what_all_rows_share_stays_and_what_they_differ_in_does_not() -> None:
    experiment = swept_experiment(stage3.EXPERIMENT, combinations([("evaluation.temperature", [0.5, 2])], []))
    assert [row.overrides for row in experiment.rows] == [
        {RATIO: 1.0, "evaluation.temperature": 0.5},
        {RATIO: 1.0, "evaluation.temperature": 2},
    ]


def test_the_name_says_what_is_swept_and_tells_sweeps_apart() -> None:
    names = {ratios(0, 1).name, ratios(0, 0.5).name, ratios(1, 0).name}
    assert len(names) == 3
    assert all(name.startswith("sweep-table4-replacement_ratio-") for name in names)
    assert ratios(0, 1).name == ratios(0, 1).name


def test_long_and_equal_names_are_told_apart() -> None:
    values = [
        ("tokenizer.decoder", [{"width": 16, "depth": 1, "heads": 2}, {"width": 16, "depth": 1, "heads": 4}])
    ]
    rows = swept_experiment(table4.EXPERIMENT, combinations(values, [])).rows
    assert len({row.name for row in rows}) == 2
    assert all(len(row.name) <= 60 for row in rows)


def test_short_names() -> None:
    assert short_names(["stage2.context.replacement_ratio"]) == {
        "stage2.context.replacement_ratio": "replacement_ratio"
    }
    assert list(short_names(["stage1.steps", "stage3.steps"]).values()) == ["stage1.steps", "stage3.steps"]
    assert list(short_names(["device", "data.device"]).values()) == ["device", "data.device"]


@pytest.mark.parametrize(
    ("grids", "listed", "message"),
    [
        ([], [], "give --grid"),
        ([("a", list(range(MAX_ROWS + 1)))], [], "more than 256"),
        ([("a", [1]), ("a", [2])], [], "a is swept more than once"),
        ([("a", [1])], [{"a": 2}], "a is swept more than once"),
        ([], [{"a": 1}, {"b": 2}], "every --list must name the same keys"),
        ([], [{"a": 1}, {"a": 1}], "twice"),
        ([("data.image_size", [28, 56])], [], "data.image_size cannot be swept"),
        ([("teacher.checkpoint", ["a", "b"])], [], "teacher.checkpoint cannot be swept: .* a given teacher"),
        ([("evaluation.split", ["validation", "test"])], [], "cannot be swept"),
        ([("generation.choice_split", ["validation", "train"])], [], "cannot be swept"),
        ([("evaluation", [{"split": "validation"}, {"split": "test"}])], [], "evaluation cannot be swept"),
        ([], [{"data": {"limit": 50}}, {"data": {"limit": 60}}], "data cannot be swept"),
        ([("stage1", [{}]), ("stage1.steps", [1])], [], "overlap"),
    ],
)
def test_refusals(grids: Any, listed: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        combinations(grids, listed)


@pytest.mark.parametrize(
    ("key", "values", "message"),
    [
        ("stage2.replacement_rate", [0, 1], "unknown key 'stage2.replacement_rate'"),
        (RATIO, [0, 2], "stage2.context.replacement_ratio = 2"),
    ],
)
def test_unknown_keys_and_bad_values_are_found_in_planning(key: str, values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        planned(swept_experiment(table4.EXPERIMENT, combinations([(key, values)], [])))


def test_rows_that_are_the_same_are_refused() -> None:
    refuse_incomparable(planned(ratios(0, 1)))
    without_effect = combinations([("stage3.steps", [2, 3])], [])
    same = planned(swept_experiment(table4.EXPERIMENT, without_effect))
    with pytest.raises(ConfigError, match=r"\[steps 2\] and \[steps 3\] are the same"):
        refuse_incomparable(same)
