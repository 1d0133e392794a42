"""Generation is planned like everything else: shared, keyed by what matters, chosen on training images."""

from __future__ import annotations

from typing import Any

import pytest
from plans import SPECS
from plans import planned as planned_as

from experiments.planning.plan import Plan, splits_read
from experiments.planning.rows import PlannedRow
from experiments.profiles import PROFILES
from experiments.recipe import resolve
from experiments.specs import Experiment, Row
from sftok.config import ConfigError

TABLE_2 = SPECS["table2"]
OTHER_GENERATORS = ("ldm-4", "dc-ae", "open-magvit2-b", "llamagen-l")


def planned(experiment: Experiment = TABLE_2, **changes: Any) -> Plan:
    return planned_as(experiment, **changes)


def rows(made: Plan) -> dict[str, PlannedRow]:
    return {row.row: row for row in made.rows}


def with_rows(*kept: Row) -> Experiment:
    return TABLE_2.model_copy(update={"rows": kept, "claims": ()})


def test_only_generation_itself_is_new_after_table_1() -> None:
    new = set(planned().artifacts) - set(planned(SPECS["table1"]).artifacts)
    kinds = ["generation", "generator", "guidance", "pixels", "sampling_speed", "tokens"]
    assert sorted({artifact.kind for artifact in new}) == kinds
    assert len(new) == 8 * 4 + 7 + 3, "the codes of the teacher and LlamaGen's tokenizer are there"
    assert set(planned(SPECS["figure6"]).artifacts) <= set(planned().artifacts)


def test_the_generators_differ_in_their_ids_alone() -> None:
    of_ids = [row for row in TABLE_2.rows if row.name not in OTHER_GENERATORS]
    generators = {name: row.training[-1] for name, row in rows(planned(with_rows(*of_ids))).items()}
    its_own = {"tokens", "num_tokens", "vocabulary", "label"}
    configs = [artifact.model_dump(exclude=its_own) for artifact in generators.values()]
    assert all(config == configs[0] for config in configs)
    recipe = resolve(PROFILES["cpu"].overlay)
    lengths = {name: artifact.num_tokens for name, artifact in generators.items()}
    tokens = recipe.tokenizer.num_latent_tokens
    assert lengths == {"maskgit": 49, "titok-b": tokens, "sftok-b": tokens, "sftok-l": tokens}


def test_each_tokenizer_decodes_as_it_was_trained() -> None:
    decoding = {name: row.evaluation.guidance.decoding for name, row in rows(planned()).items()}
    assert decoding["maskgit"] is None
    assert (decoding["titok-b"].steps, decoding["sftok-b"].steps) == (1, 8)
    assert decoding["titok-b"].final_lookup == decoding["sftok-l"].final_lookup == "soft"


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_that_leads_to_the_choice_reads_test_images(profile: str) -> None:
    for row in planned(profile=profile).rows:
        guidance = row.evaluation.inputs["guidance"]
        assert all("test" not in each.data for each in guidance.with_inputs())
        assert set(row.evaluation.data) == {"test"}
    with pytest.raises(ConfigError, match="choice_split"):
        planned(profile=profile, overrides={"generation.choice_split": "test"})


@pytest.mark.parametrize(
    ("change", "new"),
    [
        ({"generation.grid.scales": [0.0]}, {"guidance", "generation", "sampling_speed"}),
        ({"generation.choice_images": 77}, {"guidance", "generation", "sampling_speed"}),
        ({"generation.examples_per_class": 1}, {"generation"}),
        ({"generator.steps": 7}, {"generator", "guidance", "generation", "sampling_speed"}),
        ({"generator.loss.class_drop": 0.5}, {"generator", "guidance", "generation", "sampling_speed"}),
        ({"device": "cuda"}, set()),
    ],
)
def test_a_key_changes_with_what_matters(change: dict[str, Any], new: set[str]) -> None:
    made = set(planned(overrides=change).artifacts) - set(planned().artifacts)
    assert {artifact.kind for artifact in made} == new


def test_a_row_needs_nothing_but_a_spec_entry() -> None:
    mine = Row(
        name="mine",
        label="Mine",
        measures="generation",
        overrides={"stage2.context.replacement_ratio": 0.3, "fine_tuned": True},
    )
    larger = Row(
        name="vqgan", label="VQGAN", measures="generation", subject="teacher", variants=("larger-codebook",)
    )
    more = TABLE_2.model_copy(update={"rows": (*TABLE_2.rows, mine, larger)})
    new = {artifact.label for artifact in set(planned(more).artifacts) - set(planned().artifacts)}
    assert {"generation by mine, seed 0", "generation by vqgan, seed 0"} <= new
    assert rows(planned(more))["vqgan"].training[-1].vocabulary == 1024


def test_a_part_of_the_tokens_is_refused() -> None:
    row = Row(name="x", label="X", measures="generation", overrides={"evaluation.kept_share": 0.5})
    with pytest.raises(ConfigError, match=r"x: images are generated from all tokens"):
        planned(TABLE_2.model_copy(update={"rows": (row,), "claims": ()}))


def test_guidance_is_chosen_in_the_primary_space_by_whichever_name() -> None:
    chosen = [
        next(
            each
            for each in planned(overrides={"evaluation.primary_extractor": name}).artifacts
            if each.kind == "guidance"
        ).extractor.label
        for name in ("efficientnet-lite0", "efficientnet-lite0@64")
    ]
    assert chosen == ["efficientnet-lite0@64"] * 2


def test_the_split_of_the_choice_is_read_where_it_is_needed() -> None:
    recipe = resolve(PROFILES["cpu"].overlay)
    assert splits_read([SPECS["table1"]], recipe) == {"test"}
    assert splits_read(SPECS.values(), recipe) == {"test", "validation"}
    assert splits_read([TABLE_2], resolve(PROFILES["paper"].overlay)) == {"test", "train"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"generator.model.heads": 5}, "heads 5 does not divide width 96"),
        ({"generation.mask_schedule": "arcos"}, "arccos"),
    ],
)
def test_bad_values_are_refused_before_anything_runs(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        planned(with_rows(TABLE_2.row("maskgit")), overrides=overrides)


def test_the_shape_of_one_generator_cannot_be_set_for_all() -> None:
    with pytest.raises(ConfigError, match=r"the rows of table2 differ in generator\.model\.heads"):
        planned(overrides={"generator.model.heads": 2})


def test_all_generators_take_the_same_steps_of_the_same_batches_and_the_same_grid() -> None:
    made = rows(planned())
    generators = {name: row.training[-1] for name, row in made.items()}
    shapes = {name: (each.num_tokens, each.vocabulary, each.latent_dim) for name, each in generators.items()}
    assert shapes["ldm-4"] == (49, None, 3)
    assert shapes["dc-ae"] == (16, None, 8)
    assert shapes["llamagen-l"] == shapes["open-magvit2-b"] == (49, 1024, None)
    assert len({(each.steps, each.training.model_dump_json()) for each in generators.values()}) == 1
    choices = [row.evaluation.guidance for row in made.values()]
    assert all((each.grid, each.steps) == (choices[0].grid, choices[0].steps) for each in choices)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"subject": "pixels", "variants": ("ldm-4",), "overrides": {"generator.model": "maskgit"}},
            "x: the generator 'maskgit' samples ids, and a continuous tokenizer has none",
        ),
        (
            {"subject": "teacher", "overrides": {"generator.model": {"name": "diffusion-unet"}}},
            "teacher: the generator 'diffusion-unet' samples continuous latents, and this tokenizer has ids",
        ),
        (
            {"overrides": {"generator.model": {"name": "llamagen", "width": 16, "heads": 2}}},
            "x: the generator 'llamagen' has 2D positions, and 2 ids do not form a square grid",
        ),
        (
            {"subject": "pixels", "overrides": {"generator.model": {"name": "open-magvit2", "bits": [4, 5]}}},
            r"x: bits \[4, 5\] make 512 ids, and the tokenizer has 1024",
        ),
        (
            {"subject": "pixels", "variants": ("rq-vae", "llamagen-generator")},
            "x: the generator 'llamagen' needs one token for each place of a 2D grid",
        ),
        (
            {"overrides": {"tokenizer.num_latent_tokens": 4}, "variants": ("llamagen-generator",)},
            "x: the generator 'llamagen' needs one token for each place of a 2D grid",
        ),
    ],
)
def test_a_generator_of_other_tokens_is_refused_in_one_line(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        planned(with_rows(Row(name="x", label="X", measures="generation", **row)))


def test_the_speed_of_every_generator_is_measured_and_nothing_depends_on_it() -> None:
    made = planned()
    speeds = [each for row in made.rows for each in row.analyses]
    assert [each.kind for each in speeds] == ["sampling_speed"] * len(made.rows)
    assert not {each for other in made.artifacts for each in other.inputs.values()} & set(speeds)
    assert not any(row.analyses for row in planned(SPECS["figure6"]).rows)
