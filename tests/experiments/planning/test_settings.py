"""Table 6 row by row: the spec has what the paper prints, and the paper profile resolves to it."""

from __future__ import annotations

import pytest

from experiments.paper.table6 import EXPERIMENT
from experiments.planning.settings import NONE, as_text, resolved, same, setting_lines
from experiments.profiles import PROFILES
from experiments.recipe import Recipe, resolve


def paper() -> Recipe:
    return resolve(PROFILES["paper"].overlay)


def test_the_spec_has_every_row_that_the_paper_prints() -> None:
    parameters = [setting.parameter for setting in EXPERIMENT.settings]
    assert len(parameters) == 55
    assert (parameters[0], parameters[-1]) == ("Max Train Examples", "Guided Mask")


@pytest.mark.parametrize(
    "line", setting_lines(EXPERIMENT, paper()), ids=lambda line: f"{line.category}, {line.parameter}"
)
def test_the_paper_profile_says_the_same(line) -> None:
    assert line.agrees in (True, None), f"{line.published} in the paper, {line.here} here"
    assert line.agrees or line.note, "what cannot be compared is explained"


def test_another_profile_shows_what_it_changes() -> None:
    recipe = resolve(PROFILES["cpu"].overlay)
    lines = {line.parameter: line for line in setting_lines(EXPERIMENT, recipe)}
    assert lines["Discriminator Start"].published[:2] == lines["Discriminator Start"].here[:2] == (NONE, NONE)
    assert lines["Num Latent Tokens"].here == (str(recipe.tokenizer.num_latent_tokens),) * 3
    assert not lines["Num Latent Tokens"].agrees
    assert lines["Beta1"].agrees


def test_derived_values_follow_the_recipe() -> None:
    one_step = resolved(resolve(PROFILES["paper"].overlay, {"stage1.steps": "all"}))
    assert (one_step["stage1.max_steps"], one_step["stage2.max_steps"]) == (1_000_000, 0)
    assert one_step["stage3.single_step"]
    assert not one_step["stage3.guided"]
    larger = PROFILES["paper"].variants["larger-decoder"]
    assert resolved(resolve(PROFILES["paper"].overlay, larger))["derived.decoder_size"] == "large"


@pytest.mark.parametrize(
    ("published", "value"),
    [("8,192", 8192), ("1e-4", 0.0001), ("1.0", 1), ("True", True), ("base", "base"), ('"x"', "x")],
)
def test_what_counts_as_the_same(published: str, value: object) -> None:
    assert same(published, value)
    assert not same("7", value)


@pytest.mark.parametrize(
    ("value", "text"), [(8192, "8,192"), (0.0001, "0.0001"), (1.0, "1"), (True, "True"), ([1, 2], "[1, 2]")]
)
def test_values_as_text(value: object, text: str) -> None:
    assert as_text(value) == text
