"""Planning of one row at one seed: which artifacts it needs, by what is measured and on what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.artifacts.analysis import Analysis
from experiments.artifacts.base import Artifact
from experiments.artifacts.calibration import Calibration
from experiments.artifacts.codes import Codes
from experiments.artifacts.evaluation import Evaluation
from experiments.artifacts.generation import Generation
from experiments.artifacts.generator import TrainGenerator
from experiments.artifacts.guidance import Guidance
from experiments.artifacts.pixels import TrainPixels
from experiments.artifacts.released import Released
from experiments.artifacts.sampling_speed import SamplingSpeed
from experiments.artifacts.speed import Speed
from experiments.artifacts.stage import TrainStage
from experiments.artifacts.teacher import Teacher
from experiments.artifacts.tokenizer import TokenizerArtifact
from experiments.artifacts.tokens import Tokens
from experiments.recipe import Recipe
from experiments.specs import Row
from sftok.config import ConfigError
from sftok.decoding.schedule import DecodingConfig


@dataclass(frozen=True, kw_only=True)
class PlannedRow:
    """One row at one seed: its training stages in order, and what is measured at the end."""

    row: str
    seed: int
    training: tuple[Artifact, ...]
    evaluation: Artifact
    analyses: tuple[Artifact, ...] = ()

    @property
    def measurements(self) -> tuple[Artifact, ...]:
        """The evaluation, and the analyses that the experiment asks for."""
        return (self.evaluation, *self.analyses)

    @property
    def artifacts(self) -> dict[Artifact, None]:
        """All that the row needs, in order."""
        return dict.fromkeys(each for end in self.measurements for each in end.with_inputs())


def plan_row(
    row: Row,
    recipe: Recipe,
    seed: int,
    data: Mapping[str, str],
    analyses: Sequence[str] = (),
    speed_at: int | None = None,
) -> PlannedRow:
    """What `row` needs at `seed`; its speed, too, if `speed_at` gives a number of decoding steps."""
    if row.measures == "calibration":
        calibration = Calibration.plan(recipe, data)
        return PlannedRow(row=row.name, seed=seed, training=(calibration.teacher,), evaluation=calibration)
    if row.measures == "generation":
        return _plan_generation(row, recipe, seed, data, timed=speed_at is not None)
    named = f"{row.name}, seed {seed}"
    stages: Sequence[TokenizerArtifact]
    if row.found is not None:
        stages = [Released.plan(row, recipe)]
        evaluation = Evaluation.plan(recipe, data, f"evaluation of {row.name}", None, stages[-1])
    elif row.subject == "teacher":
        teacher = _measured_teacher(row, recipe, data)
        named = row.name if row.variants else "the teacher"
        stages, evaluation = [teacher], Evaluation.plan(recipe, data, f"evaluation of {named}", teacher)
    elif row.subject == "pixels":
        stages = [TrainPixels.plan(row, recipe, seed, data)]
        evaluation = Evaluation.plan(recipe, data, f"evaluation of {named}", None, stages[-1])
    else:
        teacher = Teacher.plan(recipe, data)
        stages = TrainStage.plan(row, recipe, seed, teacher, data)
        evaluation = Evaluation.plan(recipe, data, f"evaluation of {named}", teacher, stages[-1])
    measured: list[Artifact] = [
        Analysis.plan(name, evaluation, recipe, f"{name} of {named}") for name in analyses
    ]
    if speed_at is not None:
        in_steps = row.subject == "tokenizer" if row.found is None else row.found.iterative
        decoding = recipe.evaluation.decoding(speed_at) if in_steps else None
        measured.append(Speed.plan(recipe, data, f"speed of {named}", stages[-1], decoding))
    # Released weights are copied here, not trained.
    training = () if row.found is not None else tuple(stages)
    return PlannedRow(
        row=row.name, seed=seed, training=training, evaluation=evaluation, analyses=tuple(measured)
    )


def plan_reference(recipe: Recipe, data: Mapping[str, str]) -> Evaluation:
    """The evaluation of the teacher itself and of the real images."""
    teacher = Teacher.plan(recipe, data)
    return Evaluation.plan(recipe, data, "evaluation of the teacher", teacher)


def _plan_generation(row: Row, recipe: Recipe, seed: int, data: Mapping[str, str], timed: bool) -> PlannedRow:
    """A generator of a tokenizer's tokens, all of them (ConfigError if not), or of the teacher's codes."""
    name = "teacher" if row.subject == "teacher" and not row.variants else row.name
    tokens: Codes | Tokens
    stages: Sequence[TokenizerArtifact]
    if row.subject == "teacher":
        teacher = _measured_teacher(row, recipe, data)
        stages, decoding = [teacher], None
        # A generator learns the ids of the images as they are, whatever views the tokenizer was trained on.
        tokens = Codes.planned(recipe, data, "teacher codes", teacher=teacher)
    elif row.subject == "pixels":
        stages, decoding = [TrainPixels.plan(row, recipe, seed, data)], None
        tokens = Tokens.planned(recipe, data, f"tokens of {name}, seed {seed}", tokenizer=stages[-1])
    else:
        evaluation = recipe.evaluation
        if evaluation.kept_share < 1:
            raise ConfigError(
                f"{name}: images are generated from all tokens; leave evaluation.kept_share at 1 in its row"
            )
        stages = TrainStage.plan(row, recipe, seed, Teacher.plan(recipe, data), data)
        decoding = DecodingConfig(
            steps=1 if recipe.single_step else recipe.generation.decoding_steps,
            temperature=evaluation.temperature,
            schedule=evaluation.schedule,
            final_lookup=evaluation.final_lookup,
        )
        tokens = Tokens.planned(recipe, data, f"tokens of {name}, seed {seed}", tokenizer=stages[-1])
    source = stages[-1]
    made = source.shape
    try:
        recipe.generator.model.check(made)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None
    if recipe.generator.model.on_grid and not source.on_grid:
        raise ConfigError(
            f"{name}: the generator {recipe.generator.model.reference!r} needs one token for each place of a "
            "2D grid, and this tokenizer has other tokens; choose the generator 'maskgit'"
        )
    generator = TrainGenerator.planned(
        recipe,
        data,
        f"generator of {name}, seed {seed}",
        **dict(made),
        seed=seed,
        tokens=tokens,
        **dict(recipe.generator),
    )
    label = f"guidance of {name}, seed {seed}"
    guidance = Guidance.plan(recipe, data, label, generator, source, decoding)
    generation = Generation.plan(recipe, data, f"generation by {name}, seed {seed}", guidance)
    speed = [SamplingSpeed.plan(recipe, data, f"speed of {name}, seed {seed}", guidance)] if timed else []
    return PlannedRow(
        row=row.name,
        seed=seed,
        training=(*stages, generator),
        evaluation=generation,
        analyses=tuple(speed),
    )


def _measured_teacher(row: Row, recipe: Recipe, data: Mapping[str, str]) -> Teacher:
    """The teacher as a system of its own; one that differs from the others' is trained in any case."""
    if not row.variants:
        return Teacher.plan(recipe, data)
    return Teacher.plan(recipe, data, label=row.name, given=False)
