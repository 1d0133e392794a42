"""The systems of Table 1 at the paper profile have the published parameters, tokens and codes."""

from __future__ import annotations

import pytest
from plans import SPECS, planned

from experiments.planning.sizes import parameter_counts
from experiments.profiles import PROFILES
from experiments.recipe import Recipe, resolve
from experiments.records.rates import CODES, TOKENS

PAPER = PROFILES["paper"]

# Counted in the authors' networks at full size. Not in the counts: ViT-VQGAN's fixed positions (786,432 a
# side), ImageFolder's level numbers (499 and 379) and usage averages, RQ-VAE's codes, which nothing trains.
PUBLISHED = {
    "vit-vqgan": (85_963_008 - 786_432 + 24_608, 8192 * 32, 85_962_243 - 786_432 + 25_344),
    "imagefolder": (86_051_827 - 499 + 24_608, 418_048 - 2 * 10 * 4096, 85_865_851 - 379 + 49_920),
    "rq-vae": (41_101_312 + 65_792, 0, 58_974_595 + 65_792),
    "maskbit": (25_125_260, 0, 29_353_987),
    "cosmos": (34_619_520 + 1542, 0, 49_101_104 + 1792),
    "vqgan-lc": (29_298_176 + 2056, 6152, 42_449_795 + 2304),
    "llamagen-l": (29_298_176 + 2056, 16_384 * 8, 42_449_795 + 2304),
    "titok-bl": (49_152 + 85_944_640, 524_288, 303_498_068),
}
"""Parameters of encoder, quantizer and decoder."""


def recipe(row: str) -> Recipe:
    return resolve(PAPER.overlay, PAPER.overlay_of(SPECS["table1"].row(row)))


@pytest.mark.parametrize("row", PUBLISHED)
def test_parameters_are_the_published_ones(row: str) -> None:
    counts = parameter_counts(recipe(row), "pixels")
    assert (counts["encoder"], counts["quantizer"], counts["decoder"]) == PUBLISHED[row]


def test_tokens_and_codes_are_those_of_the_table() -> None:
    for planned_row in planned("table1", profile="paper").rows:
        row, tokenizer = SPECS["table1"].row(planned_row.row), planned_row.training[-1]
        if row.subject == "tokenizer" or not row.facts:
            continue
        tokens = int(row.facts[TOKENS].split()[0])
        codes = int(row.facts[CODES].replace(",", ""))
        assert (tokenizer.num_tokens, tokenizer.vocabulary) == (tokens, codes)  # type: ignore[attr-defined]


@pytest.mark.parametrize("profile", PROFILES)
def test_rows_on_pixels_are_alike_in_images_steps_and_training(profile: str) -> None:
    made = {row.row: row.training[-1] for row in planned("table1", profile=profile).rows}
    pixels = [each for row, each in made.items() if each.kind in ("pixels", "teacher") and row != "titok-bl"]
    assert len(pixels) == 10
    assert len({(each.images, each.units, str(each.data["train"])) for each in pixels}) == 1
    trainings = [each.training for each in pixels]  # type: ignore[attr-defined]
    assert all(training == trainings[0] for training in trainings)
    assert made["titok-bl"].training == trainings[0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("profile", ["cpu", "gpu", "paper"])
def test_without_a_teacher_titok_sees_as_many_images_as_with_one(profile: str) -> None:
    made = {row.row: row.training for row in planned("table1", profile=profile).rows}
    own, *_ = made["titok-bl"]
    assert own.images == sum(stage.images for stage in made["titok-b"])
