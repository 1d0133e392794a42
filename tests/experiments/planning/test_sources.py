"""Every value of the paper profile has a source; deviations that are named are rows of docs/deviations.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from plans import SPECS

from experiments.commands.description import content
from experiments.planning.sources import DEVIATIONS, ENDINGS, OF_VARIANTS, SOURCES, source, source_at
from experiments.profiles import PROFILES
from experiments.recipe import resolve
from sftok.config import flat

ROOT = Path(__file__).parents[3]
PAPER = flat(resolve(PROFILES["paper"].overlay).model_dump(mode="json"))


def test_every_value_of_the_paper_profile_has_a_source() -> None:
    assert not [key for key in PAPER if source(key) is None]


@pytest.mark.parametrize("table", ["table1", "table2"])
def test_every_value_of_every_system_has_a_source(table: str) -> None:
    said = content(SPECS[table], None, PROFILES["paper"], {})["row_sources"]
    missing = [(row, key) for row, keys in said.items() for key, text in keys.items() if text == "not said"]
    assert missing == []


def test_every_deviation_that_is_named_is_a_row() -> None:
    lines = (ROOT / "docs" / "deviations.md").read_text().splitlines()
    rows = {line.split("|")[1].strip() for line in lines if line.startswith("|")}
    sources = (*SOURCES.values(), *ENDINGS.values(), *OF_VARIANTS.values())
    named = {text.partition(DEVIATIONS)[2] for text in sources}
    assert named - {""} <= rows


def test_every_source_is_of_a_key() -> None:
    unused = [name for name in SOURCES if not any(key == name or key.startswith(f"{name}.") for key in PAPER)]
    assert not [name for name in unused if name not in ("device", "generator")]


def test_table_6_is_named_by_its_row() -> None:
    assert source("stage3.training.optimizer.beta2") == "Table 6: Optimizer, Beta2"
    assert re.match("Table 6", str(source("stage3.discriminator_start")))


def test_other_profiles_and_overrides_are_sources_too() -> None:
    cpu = PROFILES["cpu"]
    assert source_at("tokenizer.encoder.patch_size", 7, cpu, PAPER, {}) == "profile cpu"
    assert source_at("tokenizer.quantizer.use_l2_norm", True, cpu, PAPER, {}).startswith("Table 6")
    assert source_at("data.path", "x", cpu, PAPER, {"data.path": "x"}) == "--set, --overlay or --data"
