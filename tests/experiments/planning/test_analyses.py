"""Analyses in a plan: they share what tables make, and hang on what they read and on nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from plans import SPECS, planned

from experiments.profiles import PROFILES
from sftok.config import ConfigError


def test_figure_4a_adds_an_analysis_a_row_to_table_3() -> None:
    new = set(planned("figure4a").artifacts) - set(planned("table3").artifacts)
    assert [artifact.kind for artifact in new] == ["analysis"] * 3
    assert len({artifact.key for artifact in new}) == 3


@pytest.mark.parametrize(
    ("figure", "table"),
    [
        ("figure5", "table1"),
        ("figure15", "table1"),
        ("figure7", "table3"),
        ("information", "appendix_c"),
        ("appendix_c", "information"),
    ],
)
def test_these_share_everything(figure: str, table: str) -> None:
    assert set(planned(figure).artifacts) <= set(planned(table).artifacts)


def test_appendix_c_shares_its_single_step_tokenizer_with_titok() -> None:
    trained = {row.row: row.training[-1] for row in planned("appendix_c").rows}
    assert trained["single-step"] in planned("table1").artifacts
    assert trained["vanilla"] in planned("table3").artifacts


@pytest.mark.parametrize("profile", PROFILES)
def test_the_deeper_decoder_has_twice_the_layers_and_nothing_else(profile: str) -> None:
    rows = {row.row: row.training[-1].model_dump() for row in planned("appendix_c", profile=profile).rows}
    deeper, same = rows["deeper-decoder"], rows["single-step"]
    assert deeper["model"]["decoder"].pop("depth") == 2 * same["model"]["decoder"].pop("depth")
    assert {**deeper, "label": ""} == {**same, "label": ""}


def test_single_step_rows_are_asked_for_no_context() -> None:
    contexts = {row.row: row.analyses[0].analysis.contexts for row in planned("appendix_c").rows}
    assert contexts["single-step"] == contexts["deeper-decoder"] == ("single",)
    assert contexts["vanilla"] == ("single", "true", "own", "second_pass")


@pytest.mark.parametrize(
    ("overrides", "changed"),
    [
        ({"analysis.steps.images": 7}, {"steps"}),
        ({"analysis.steps.steps": 4}, {"steps"}),
        ({"analysis.contexts.visible_fractions": [0.1]}, {"contexts"}),
        ({"evaluation.temperature": 0.5}, {"steps"}),
        ({"evaluation.batch_size": 10}, set()),
        ({"device": "cuda"}, set()),
    ],
)
def test_a_key_changes_with_what_the_analysis_reads(overrides: dict[str, Any], changed: set[str]) -> None:
    def keys(overrides: Mapping[str, Any]) -> dict[str, str]:
        plans = (planned("figure4a", overrides), planned("appendix_c", overrides))
        return {node.analysis.reference: node.key for each in plans for node in each.rows[0].analyses}

    before, after = keys({}), keys(overrides)
    assert {name for name in before if before[name] != after[name]} == changed


def test_only_what_decodes_in_steps_can_be_analysed() -> None:
    spec = SPECS["table1"]
    with pytest.raises(ConfigError, match="'vit-vqgan' is 'pixels'"):
        type(spec).build({**dict(spec), "analyses": ("steps",)})


def test_a_fraction_that_leaves_nothing_is_refused_before_any_work() -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        planned("appendix_c", {"analysis.contexts.visible_fractions": [1.0]})
