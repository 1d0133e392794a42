"""Specs are checked when they are built, and the published numbers are the paper's."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.paper import (
    figure1,
    figure4b,
    figure8,
    figures9_14,
    table1,
    table2,
    table3,
    table4,
    table5,
    table6,
)
from experiments.specs import Experiment
from experiments.specs.registry import Registry
from sftok.config import ConfigError

ROW = {"name": "a", "label": "A"}
BASE: dict[str, Any] = {
    "name": "x",
    "kind": "table",
    "title": "t",
    "source": "s",
    "description": "d",
    "rows": (ROW,),
}


def claim(order: str) -> dict[str, str]:
    return {"name": "c", "text": "t", "source": "s", "order": order}


def test_the_published_numbers() -> None:
    assert {row.name: row.published for row in table4.EXPERIMENT.rows} == {
        "ratio-0.5": {"rfid": 4.96},
        "ratio-0.8": {"rfid": 4.59},
        "ratio-1.0": {"rfid": 4.33},
    }
    assert {row.name: row.published for row in table3.EXPERIMENT.rows} == {
        "vanilla": {"rfid": 6.47},
        "sfvr": {"rfid": 4.40},
        "sfvr-warm-up": {"rfid": 4.33},
    }


def test_table_1_as_printed() -> None:
    printed = """
        ViT-VQGAN|1024 (16×16)|8,192|1.28
        Mo-VQGAN|1024 (16×16×4)|1,024|1.12
        ImageFolder|572 (286×2)|4,096|0.80
        VQGAN|256 (16×16)|16,384|3.64
        MaskGIT|256 (16×16)|1,024|2.28
        RQ-VAE|256 (8×8×4)|16,384|3.20
        MaskBit|256 (16×16)|4,096|1.61
        COSMOS|256 (16×16)|64,000|2.52
        VQGAN-LC|256 (16×16)|100,000|2.62
        LlamaGen-L|256 (16×16)|16,384|2.19
        TiTok-B|64 (1d-tokenizer)|4,096|1.70
        TiTok-BL †|64 (1d-tokenizer)|8,192|2.06
        One-D-Piece-B|64 (1d-tokenizer)|4,096|2.39
        One-D-Piece-L|64 (1d-tokenizer)|4,096|2.10
        SFTok-B|64 (1d-tokenizer)|8,192|1.44
        SFTok-L|64 (1d-tokenizer)|8,192|1.21
    """
    rows = [row for row in table1.EXPERIMENT.rows if row.published]
    said = ["|".join((row.label, *row.facts.values(), f"{row.published['rfid']:.2f}")) for row in rows]
    assert said == [line.strip() for line in printed.split("\n") if line.strip()]


def test_table_2_as_printed() -> None:
    printed = """
        LDM-4|diffusion|3.60
        DC-AE|diffusion|1.88
        Open-Magvit2-B|transformer|3.08
        LlamaGen-L|transformer|3.80
        MaskGIT|transformer|6.18
        TiTok-B-64-MaskGIT|transformer|2.48
        SFTok-B-MaskGIT|transformer|2.32
        SFTok-L-MaskGIT|transformer|2.29
    """
    said = [
        "|".join((row.label, *row.facts.values(), f"{row.published['gfid']:.2f}"))
        for row in table2.EXPERIMENT.rows
    ]
    assert said == [line.strip() for line in printed.split("\n") if line.strip()]


def test_table_2_is_about_the_tokenizers_of_table_1() -> None:
    specs = Registry(["experiments.paper"]).experiments()
    of_table_1 = {row.name: row for row in specs["table1"].rows}
    generating = [row for row in specs["table2"].rows if row.trained]
    assert [row.name for row in generating] == ["maskgit", "titok-b", "sftok-b", "sftok-l"]
    for row in generating:
        lender = of_table_1[row.name]
        assert (row.overrides, row.variants, row.subject) == (
            lender.overrides,
            lender.variants,
            lender.subject,
        )
        assert (row.measures, row.steps) == ("generation", None)
    of_table_2 = {row.name: row for row in generating}
    assert all(row == of_table_2[row.name] for row in specs["figure6"].rows)


def test_table_5_as_printed() -> None:
    assert {row.name: list(row.published.values()) for row in table5.EXPERIMENT.rows} == {
        "sftok-b": [1224, 1656, 2880],
        "sftok-l": [1728, 3264, 4992],
    }


def test_figures_borrow_the_numbers_of_their_tables() -> None:
    specs = Registry(["experiments.paper"]).experiments()
    of_table_1 = {row.name: row for row in specs["table1"].rows}
    for row in (*specs["figure1"].rows, *specs["figures9_14"].rows):
        assert row == of_table_1[row.name]


@pytest.mark.parametrize(
    "module", [table1, table2, table3, table4, table5, table6, figure1, figure4b, figure8, figures9_14]
)
def test_every_spec_says_where_it_is_from_and_how_to_run_it(module: Any) -> None:
    assert f"python -m experiments run {module.EXPERIMENT.name}" in module.__doc__
    assert "Paper:" in module.__doc__
    assert module.EXPERIMENT.claims or module.EXPERIMENT.settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": ()}, "rows"),
        ({"rows": (ROW, ROW)}, "two rows are named 'a'"),
        ({"name": "No Spaces"}, "name"),
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"claims": (claim("a@8 < b@8"),)}, "names the unknown row 'b'"),
        ({"claims": (claim("a@8 = b@8"),)}, "write an order of points"),
        ({"rows": ({"name": "a"},)}, "row 'a' has no label"),
        ({"rows": ({**ROW, "trained": False, "overrides": {"x": 1}},)}, "nothing to override"),
        (
            {"rows": (ROW, {"name": "b", "label": "B", "trained": False}), "claims": (claim("a < b"),)},
            "needs the untrained row 'b'",
        ),
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Experiment.build({**BASE, **change})
