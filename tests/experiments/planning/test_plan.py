"""Planning is pure: keys say what an artifact is made of, and rows share what is the same."""

from __future__ import annotations

import math
from typing import Any

import pytest
from plans import DATA, SPECS
from plans import planned as planned_as

from experiments.artifacts.teacher import WEIGHTS
from experiments.paper import figure1, figure8, table1, table3, table4
from experiments.planning.plan import Plan, combined
from experiments.profiles import PROFILES
from experiments.specs import Experiment, Row
from sftok.config import ConfigError

JUDGES = {"classifier", "judge"}
"""Kinds of the networks that measure."""


def planned(experiment: Experiment = table4.EXPERIMENT, profile: str = "cpu", **changes: Any) -> Plan:
    return planned_as(experiment, profile=profile, **changes)


def kinds(plan: Plan) -> list[str]:
    return [artifact.kind for artifact in plan.artifacts]


def test_the_rows_of_table_4_share_teacher_codes_and_warm_up() -> None:
    assert sorted(kinds(planned())) == sorted(
        ["classifier", "judge", "judge", "teacher", "codes", *["stage"] * (1 + 3), *["evaluation"] * (3 + 1)]
    )


def test_seeds_share_the_teacher_and_nothing_that_is_seeded() -> None:
    one, three = planned(), planned(seeds=(0, 1, 2))
    new = {artifact.kind for artifact in three.artifacts if artifact not in one.artifacts}
    assert new == {"stage", "evaluation"}
    assert len(three.artifacts) == 6 + 3 * (1 + 3 + 3)


def test_tables_share_what_is_the_same() -> None:
    both = set(planned(table3.EXPERIMENT).artifacts) & set(planned(table4.EXPERIMENT).artifacts)
    assert sorted(artifact.kind for artifact in both) == [
        "classifier", "codes", "evaluation", "evaluation", "judge", "judge", "stage", "stage", "teacher",
    ]  # fmt: skip
    assert set(planned(figure8.EXPERIMENT).artifacts) <= set(planned(table3.EXPERIMENT).artifacts)


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"overrides": {"teacher.steps": 7}}, JUDGES),
        ({"overrides": {"stage1.steps": 7}}, JUDGES | {"teacher", "codes", "reference"}),
        ({"overrides": {"loss.unmasked_weight": 0.2}}, JUDGES | {"teacher", "codes", "reference"}),
        ({"overrides": {"evaluation.temperature": 0.5}}, JUDGES | {"teacher", "codes", "stage"}),
        ({"overrides": {"evaluation.primary_extractor": "efficientnet-lite0@64"}}, set("everything")),
        ({"overrides": {"device": "cuda", "tf32": False}}, set("everything")),
        ({"overrides": {"compile": "default"}}, set("everything")),
        ({"data": {**DATA, "train": "d" * 64}}, set()),
        ({"data": {**DATA, "test": "d" * 64}}, JUDGES | {"teacher", "codes", "stage"}),
    ],
)
def test_a_key_changes_with_what_matters_and_only_with_that(change: dict[str, Any], kept: set[str]) -> None:
    before, after = planned(), planned(**change)
    shared = {
        "reference" if artifact == before.reference else artifact.kind
        for artifact in before.artifacts
        if artifact in after.artifacts
    }
    if kept == set("everything"):
        assert after.artifacts == before.artifacts
    else:
        assert shared == kept


def test_an_evaluation_is_of_the_split_that_it_reads() -> None:
    here = planned(overrides={"evaluation.split": "validation"})
    for data, same in (({**DATA, "test": "d" * 64}, True), ({**DATA, "validation": "d" * 64}, False)):
        other = planned(overrides={"evaluation.split": "validation"}, data=data)
        assert (other.rows[0].evaluation == here.rows[0].evaluation) is same
        assert other.rows[0].training == here.rows[0].training


def test_a_stage_on_a_given_teacher_depends_on_the_views_that_it_sees() -> None:
    given = {"teacher.checkpoint": "given.safetensors"}
    data = {**DATA, WEIGHTS: "e" * 64}
    plain = planned(overrides=given, data=data).rows[0].training[-1]
    flipped = planned(overrides={**given, "augmentation.flip": True}, data=data).rows[0].training[-1]
    assert plain.inputs["teacher"] == flipped.inputs["teacher"]
    assert plain != flipped
    assert flipped.augmentation.flip


@pytest.mark.parametrize(
    ("profile", "device"), [("smoke", "cpu"), ("cpu", "cpu"), ("gpu", "cuda"), ("paper", "cuda")]
)
def test_every_artifact_is_made_on_the_profiles_device(profile: str, device: str) -> None:
    assert {artifact.device for artifact in planned(profile=profile).artifacts} == {device}
    chosen = planned(profile=profile, overrides={"device": "cpu", "tf32": False}).artifacts
    assert {(artifact.device, artifact.tf32) for artifact in chosen} == {("cpu", False)}


def test_a_row_of_table_1_needs_nothing_but_a_spec_entry() -> None:
    spec = SPECS["table1"]
    longer = Row(
        name="mine",
        label="Mine",
        variants=("larger-decoder",),
        overrides={"stage2.context.replacement_ratio": 0.3},
    )
    published = Row(name="theirs", label="Theirs", trained=False, published={"rfid": 1.0})
    more = spec.model_copy(update={"rows": (*spec.rows, longer, published)})
    new = set(planned(more).artifacts) - set(planned(spec).artifacts)
    assert {artifact.label for artifact in new} == {
        f"{what}mine, seed 0" for what in ("", "evaluation of ", "speed of ")
    }


def test_the_teachers_rows_train_no_tokenizer() -> None:
    made = planned(SPECS["table1"])
    rows = {row.row: row for row in made.rows}
    assert rows["maskgit"].evaluation == made.reference
    assert [stage.kind for stage in rows["vqgan"].training] == ["teacher"]
    larger = PROFILES["cpu"].variants["larger-codebook"]["teacher.backbone.codebook_size"]
    assert rows["vqgan"].training[0].backbone.codebook_size == larger


def test_the_tokenizers_of_table_1_take_the_same_steps_of_the_same_batches() -> None:
    spec = SPECS["table1"]
    rows = [row for row in planned(spec).rows if spec.row(row.row).subject == "tokenizer"]
    lengths = {sum(stage.steps for stage in row.training if "fine-tuning" not in stage.stage) for row in rows}
    batches = {stage.training_batch for row in rows for stage in row.training[:-1]}
    assert len(rows) == 7
    assert len(lengths) == len(batches) == 1
    assert len({row.training[-1].steps for row in rows}) == 1


def test_a_single_step_tokenizer_never_sees_a_visible_position() -> None:
    row = next(row for row in planned(SPECS["table1"]).rows if row.row == "titok-b")
    assert [stage.stage for stage in row.training] == ["warm-up", "single-step-fine-tuning"]
    assert row.evaluation.protocol.steps == (1,)


def test_lengths_of_one_tokenizer_share_its_training() -> None:
    rows = {row.row: row for row in planned(SPECS["table1"]).rows}
    whole, half = rows["one-d-piece-b"], rows["one-d-piece-b-half"]
    assert whole.training == half.training
    assert whole.training != rows["titok-b"].training
    assert whole.evaluation.kept_tokens is None
    tokens = half.training[0].model.num_latent_tokens
    assert half.evaluation.kept_tokens == tokens // 2


def test_a_borrowed_row_is_filled_in_before_it_is_planned() -> None:
    with pytest.raises(ConfigError, match="is of table1"):
        planned(figure1.EXPERIMENT)
    assert set(planned(SPECS["figure1"]).artifacts) <= set(planned(SPECS["table1"]).artifacts)


def test_a_variant_that_a_profile_does_not_know_is_named() -> None:
    row = Row(name="x", label="X", variants=("larger-decode",))
    with pytest.raises(ConfigError, match="did you mean 'larger-decoder'"):
        planned(table4.EXPERIMENT.model_copy(update={"rows": (row,), "claims": ()}))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", SPECS)
def test_every_spec_plans_at_every_profile(name: str, profile: str) -> None:
    assert len(planned(SPECS[name], profile).rows) == len(SPECS[name].trained_rows)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"stage2.context.replacement_rate": 0.5},
            r"stage2.context: unknown key 'replacement_rate'.*replacement_ratio",
        ),
        ({"nonsense": 1}, r"unknown key 'nonsense'.*choices: .*tokenizer"),
        ({"stage1.steps": 10**9}, "exceeds tokenizer_steps"),
        ({"evaluation.primary_extractor": "clasifier"}, r"not among extractors.*did you mean .classifier"),
        ({"tokenizer.num_latent_tokens": 50}, "more latent tokens than ids"),
        ({"tokenizer.encoder.patch_size": 5}, "patch"),
        ({"data.image_size": 30}, "image_size"),
        (
            {"tokenizer.quantizer.sinkhorn_epsilon": math.inf},
            "tokenizer.quantizer.sinkhorn_epsilon = inf: not a finite number",
        ),
        ({"loss": {"quantizer_weight": math.nan}}, "loss.quantizer_weight = nan: not a finite number"),
        ({"generation.grid.scales": [0.0, math.inf]}, "generation.grid.scales = inf: not a finite number"),
        ({"stage2.context.replacement_ratio": 0.5}, "the rows of table4 differ in"),
        ({"stage2": {"context": {"replacement_ratio": 0.5}}}, "the rows of table4 differ in"),
    ],
)
def test_bad_values_are_refused_before_anything_runs(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        planned(overrides=overrides)


def test_a_part_of_what_a_row_sets_is_refused() -> None:
    message = r"table1 differ in tokenizer.decoder.width \(row 'one-d-piece-l' sets tokenizer.decoder"
    with pytest.raises(ConfigError, match=message):
        planned(table1.EXPERIMENT, overrides={"tokenizer.decoder.width": 32})


def test_run_all_has_every_artifact_once_and_after_its_inputs() -> None:
    single = [planned(spec, "smoke") for spec in SPECS.values()]
    work = combined(single)
    assert set(work.artifacts) == {artifact for each in single for artifact in each.artifacts}
    assert len(work.artifacts) == len(set(work.artifacts))
    seen = set()
    for artifact in work.artifacts:
        assert set(artifact.inputs.values()) <= seen
        seen.add(artifact)


def test_run_all_has_the_rows_of_the_single_plans_and_counts_what_they_share() -> None:
    single = [planned(spec, "smoke") for spec in SPECS.values()]
    work = combined(single)
    assert len(work.rows) == sum(len(each.rows) for each in single)
    assert "table1.sftok-b" in {row.row for row in work.rows}
    assert work.recipe_of("table1.titok-b").single_step
    teacher = next(artifact for artifact in work.artifacts if artifact.label == "teacher")
    assert work.users[teacher] > 10
    assert work.unshared_count > 2 * len(work.artifacts)
