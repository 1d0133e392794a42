"""The content of a study's page: history, importances, all trials, and the best one to run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from experiments.records.study_results import StudyRun, TrialRecord
from experiments.specs.sweep import value_text
from reports.numbers import duration
from sftok.metrics.quantity import Quantity


@dataclass(frozen=True)
class Picture:
    """A chart with its texts."""

    title: str
    svg: str
    alternative: str


@dataclass(frozen=True)
class TrialLine:
    """A row of the table of trials: the trial and its formatted numbers."""

    trial: TrialRecord
    value: str
    parameters: tuple[str, ...]
    time: str


@dataclass(frozen=True)
class StudyView:
    """A study for its page and the overview."""

    run: StudyRun
    metric: Quantity
    word: str
    """`complete`, `running` or `waiting`; also the name of the style."""
    sentence: str
    pictures: tuple[Picture, ...]
    trials: tuple[TrialLine, ...]
    best: TrialLine | None
    overlay: tuple[tuple[str, str], ...]


def study_view(run: StudyRun) -> StudyView:
    """The view of a study."""
    objective = run.study.objective
    metric = run.metric or Quantity(
        name=objective.metric,
        label=objective.metric,
        direction=-1 if objective.lower_is_better else 1,
        meaning="the objective",
    )
    lines = tuple(_line(run, trial) for trial in run.trials)
    ended = sum(trial.state != "running" for trial in run.trials)
    counts = Counter[str](trial.state for trial in run.trials)
    said = ", ".join(
        f"{counts[state]} {state}" for state in ("complete", "pruned", "failed", "running") if counts[state]
    )
    return StudyView(
        run=run,
        metric=metric,
        word="complete" if ended >= run.budget else "running" if ended < len(lines) else "waiting",
        sentence=f"{ended} of {run.budget} trials have ended" + (f": {said}." if said else "."),
        pictures=_pictures(run, metric, counts),
        trials=lines,
        best=next((line for line in lines if line.trial.number == run.best), None),
        overlay=tuple((key, value_text(value)) for key, value in run.overlay.items()),
    )


def _line(run: StudyRun, trial: TrialRecord) -> TrialLine:
    return TrialLine(
        trial=trial,
        value="" if trial.value is None else f"{trial.value:.4g}",
        parameters=tuple(_short(trial.parameters.get(name)) for name in run.study.space),
        time="" if trial.seconds is None else duration(trial.seconds),
    )


def _short(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else value_text(value)


def _pictures(run: StudyRun, metric: Quantity, counts: Counter[str]) -> tuple[Picture, ...]:
    if not counts["complete"]:
        return ()
    # Imported here, because Optuna takes seconds to import, and most stores have no study.
    from reports.study_figures import draw

    values = ", ".join(
        f"trial {trial.number}: {trial.value:.4g}" for trial in run.trials if trial.value is not None
    )
    shares = sorted((run.importance or {}).items(), key=lambda item: -item[1])
    said = {
        "History": f"{metric.heading} by trial. {values}. "
        f"Pruned: {counts['pruned']}, failed: {counts['failed']}.",
        "Importance": "Importance of the parameters: "
        + ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares)
        + ".",
        "Slices": f"{metric.label} of each complete trial over each of its parameters.",
        "Parallel coordinates": f"Each of {counts['complete']} complete trials as a line "
        f"from its {metric.label} to its parameters.",
    }
    return tuple(Picture(title, svg, said[title]) for title, svg in draw(run, metric.label).items())
