"""Turns a plan into a stored request, which readers use without planning or importing torch."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from experiments.planning.metrics import described
from experiments.planning.plan import Plan
from experiments.planning.settings import setting_lines
from experiments.profiles import PROFILES
from experiments.recipe import Recipe, resolve
from experiments.requests import StoredRequest, StoredRow


def command_line(arguments: Iterable[str]) -> str:
    """The command line, ready to be typed again."""
    return shlex.join(["python", "-m", "experiments", *arguments])


def new_request(plan: Plan, arguments: Iterable[str], data: str, source: Mapping[str, str]) -> StoredRequest:
    """A new request from `python -m experiments` with `arguments`.

    `data` describes the data set; `source` is the file of an experiment from outside the package.
    """
    rows = {row.name: plan.recipe_of(row.name) for row in plan.experiment.trained_rows}
    return StoredRequest(
        command=command_line(arguments),
        data=data,
        requested=datetime.now(UTC).isoformat(timespec="seconds"),
        experiment=plan.experiment,
        profile=plan.profile.name,
        meaningless=plan.profile.meaningless,
        threads=plan.profile.threads,
        seeds=plan.seeds,
        overrides=dict(plan.overrides),
        recipe=plan.recipe.model_dump(mode="json"),
        recipes={name: recipe.model_dump(mode="json") for name, recipe in rows.items()},
        primary_extractor=plan.recipe.evaluation.primary.label,
        calibration=plan.calibration.stored(),
        trained_in=_trained_in(rows.values()),
        metrics=described(plan),
        facts={name: _facts(plan, name) for name in rows},
        settings=tuple(line.model_dump() for line in setting_lines(plan.experiment, plan.recipe)),
        costs=_costs(plan) if plan.experiment.costs else {},
        source=dict(source),
        artifacts=tuple(artifact.stored() for artifact in plan.artifacts),
        rows=tuple(
            StoredRow(
                row=row.row,
                seed=row.seed,
                training=tuple(artifact.name for artifact in row.training),
                evaluation=row.evaluation.name,
                analyses=tuple(artifact.name for artifact in row.analyses),
            )
            for row in plan.rows
        ),
        reference=plan.reference.name if plan.reference else None,
    )


def _trained_in(recipes: Iterable[Recipe]) -> tuple[str, ...]:
    """Feature spaces whose network is the perceptual loss or discriminator of a row's stage 3."""
    found = {
        extractor.label: None
        for recipe in recipes
        for extractor in recipe.evaluation.extractors
        if recipe.fine_tuned
        and extractor.reference in (recipe.stage3.perceptual.reference, recipe.stage3.discriminator.reference)
    }
    return tuple(found)


def _facts(plan: Plan, row: str) -> dict[str, str]:
    """The columns of Table 1 for a row at this profile."""
    recipe, spec = plan.recipe_of(row), plan.experiment.row(row)
    if spec.found is not None:
        tokens, codes = spec.found.num_tokens, spec.found.vocabulary
    elif spec.subject == "teacher":
        backbone = recipe.teacher.backbone
        tokens, codes = backbone.num_codes(recipe.data.image_size), backbone.codebook_size
    elif spec.subject == "pixels":
        model = recipe.pixel_tokenizer_config()
        tokens, codes = model.num_tokens, model.codebook_size
    else:
        tokens, codes = recipe.kept_tokens, recipe.tokenizer.quantizer.codebook_size
    return {"Token length": str(tokens), "#Code": f"{codes:,}" if codes else "continuous"}


def _costs(plan: Plan) -> dict[str, dict[str, dict[str, float]]]:
    """Operations per image of training here and at the paper's size, and its images, by row and stage."""
    # Imported here, because it loads timm, and most experiments need no costs.
    from experiments.planning.sizes import stages_of, training_flops

    paper = PROFILES["paper"]
    costs: dict[str, dict[str, dict[str, float]]] = {}
    for row in plan.experiment.trained_rows:
        here, full = plan.recipe_of(row.name), resolve(paper.overlay, paper.overlay_of(row))
        costs[row.name] = {
            stage: {
                "flops_per_image": training_flops(here, stage),
                "paper_flops_per_image": training_flops(full, stage),
                "paper_images": images,
            }
            for stage, images in stages_of(full).items()
        }
    return costs
