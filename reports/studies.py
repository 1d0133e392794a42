"""What a study's page shows: its history, what mattered, every trial, and the best one to run."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from experiments.records.study_results import StudyRun, TrialRecord
from experiments.specs.study import Choice
from experiments.specs.sweep import value_text
from reports.numbers import duration
from reports.study_figures import (
    Axis,
    History,
    Importance,
    Parallel,
    draw_history,
    draw_importance,
    draw_parallel,
    scaled,
)
from sftok.metrics.quantity import Quantity


@dataclass(frozen=True)
class Picture:
    """A chart with its words."""

    title: str
    svg: str
    alternative: str


@dataclass(frozen=True)
class TrialLine:
    """A row of the table of trials."""

    number: int
    state: str
    value: str
    parameters: tuple[str, ...]
    reason: str
    time: str
    evaluation: str
    best: bool


@dataclass(frozen=True)
class StudyView:
    """A study as its page and the overview show it."""

    run: StudyRun
    metric: Quantity
    word: str
    """`complete`, `running` or `waiting`: also the name of its style."""
    sentence: str
    history: Picture | None
    importance: Picture | None
    parallel: Picture | None
    parameters: tuple[str, ...]
    trials: tuple[TrialLine, ...]
    best: TrialLine | None
    overlay: tuple[tuple[str, str], ...]


def study_view(run: StudyRun) -> StudyView:
    """The view of a study."""
    lines = tuple(_line(run, trial) for trial in run.trials)
    over = sum(trial.state != "running" for trial in run.trials)
    word = "complete" if over >= run.budget else "running" if over < len(run.trials) else "waiting"
    counts = Counter(trial.state for trial in run.trials)
    said = ", ".join(
        f"{counts[state]} {state}" for state in ("complete", "pruned", "failed", "running") if counts[state]
    )
    return StudyView(
        run=run,
        metric=_metric(run),
        word=word,
        sentence=f"{over} of {run.budget} trials over" + (f": {said}." if said else "."),
        history=_history(run),
        importance=_importance(run),
        parallel=_parallel(run),
        parameters=tuple(run.study.space),
        trials=lines,
        best=next((line for line in lines if line.best), None),
        overlay=tuple((key, value_text(value)) for key, value in run.overlay.items()),
    )


def _metric(run: StudyRun) -> Quantity:
    objective = run.study.objective
    direction = -1 if objective.lower_is_better else 1
    return Quantity(name=objective.metric, label=objective.metric, direction=direction, meaning="")


def _line(run: StudyRun, trial: TrialRecord) -> TrialLine:
    return TrialLine(
        number=trial.number,
        state=trial.state,
        value="" if trial.value is None else f"{trial.value:.4g}",
        parameters=tuple(_short(trial.parameters.get(name)) for name in run.study.space),
        reason=trial.reason,
        time="" if trial.seconds is None else duration(trial.seconds),
        evaluation=trial.evaluation,
        best=trial.number == run.best,
    )


def _short(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else value_text(value)


def _valued(run: StudyRun) -> list[tuple[TrialRecord, float]]:
    return [(trial, trial.value) for trial in run.trials if trial.value is not None]


def _history(run: StudyRun) -> Picture | None:
    values = tuple((trial.number, value) for trial, value in _valued(run))
    if not values:
        return None
    pick = min if run.study.objective.lower_is_better else max
    best = [
        (number, pick(value for _, value in values[: place + 1])) for place, (number, _) in enumerate(values)
    ]
    best.append((max(trial.number for trial in run.trials), best[-1][1]))
    pruned, failed = (
        tuple(trial.number for trial in run.trials if trial.state == state) for state in ("pruned", "failed")
    )
    label = _metric(run).heading
    svg = draw_history(History(label, values, tuple(best), pruned, failed))
    said = ", ".join(f"trial {number}: {value:.4g}" for number, value in values)
    return Picture("History", svg, f"{label} by trial. {said}. Pruned: {len(pruned)}, failed: {len(failed)}.")


def _importance(run: StudyRun) -> Picture | None:
    if not run.importance or len(run.importance) < 2:
        return None
    shares = tuple(sorted(run.importance.items(), key=lambda item: -item[1]))
    if not all(math.isfinite(share) for _, share in shares):
        return None
    said = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares)
    return Picture(
        "Importance", draw_importance(Importance(shares)), f"Importance of the parameters: {said}."
    )


def _parallel(run: StudyRun) -> Picture | None:
    valued = _valued(run)
    if len(valued) < 2:
        return None
    axes, columns = [], []
    for name, dimension in run.study.space.items():
        values = [trial.parameters[name] for trial, _ in valued]
        if isinstance(dimension, Choice):
            step = 1 / (len(dimension.choices) - 1)
            axes.append(
                Axis(
                    name, tuple((place * step, _short(each)) for place, each in enumerate(dimension.choices))
                )
            )
            columns.append([dimension.choices.index(value) * step for value in values])
        else:
            axes.append(Axis(name, ((0.0, f"{min(values):.3g}"), (1.0, f"{max(values):.3g}"))))
            columns.append(scaled(values, dimension.log))
    numbers = [value for _, value in valued]
    label = _metric(run).label
    axes.append(Axis(label, ((0.0, f"{min(numbers):.4g}"), (1.0, f"{max(numbers):.4g}"))))
    columns.append(scaled(numbers, log=False))
    order = sorted(numbers, reverse=not run.study.objective.lower_is_better)
    ranks = tuple(order.index(value) / len(order) for value in numbers)
    svg = draw_parallel(Parallel(tuple(axes), tuple(zip(*columns, strict=True)), ranks))
    said = f"Each of {len(valued)} complete trials as a line from its parameters to its {label}."
    return Picture("Parallel coordinates", svg, said)
