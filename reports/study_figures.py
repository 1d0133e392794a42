"""Optuna's charts of a study, in the colors of the page."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import matplotlib
import numpy as np
import optuna
from matplotlib import pyplot
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.text import Text
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.visualization import matplotlib as charts

from experiments.records.study_results import StudyRun
from experiments.studies.trials import from_records
from reports.figures import GRID, MUTED, SERIES, style, to_svg

COLORS = "cool"
"""From better to worse trials, or from earlier to later ones: readable on light and on dark pages."""

_MARKERS = {"pruned": "|", "failed": "x"}

_drawn: dict[str, str] = {}


def draw(run: StudyRun, label: str) -> dict[str, str]:
    """The charts of a study with complete trials, as `<svg>` elements by title; `label` is the objective's."""
    study = optuna.create_study(direction="minimize" if run.study.objective.lower_is_better else "maximize")
    study.add_trials(from_records(run))
    found = {"History": partial(_history, run, study, label)}
    if run.importance and len(run.importance) > 1:
        evaluator = PedAnovaImportanceEvaluator()
        found["Importance"] = partial(charts.plot_param_importances, study, evaluator=evaluator)
    if sum(trial.state == "complete" for trial in run.trials) > 1:
        found["Slices"] = partial(charts.plot_slice, study, target_name=label)
        found["Parallel coordinates"] = partial(charts.plot_parallel_coordinate, study, target_name=label)
    identity = f"{run.study.model_dump_json()} {run.trials} {label}"
    return {title: _svg(plot, f"{title} {identity}") for title, plot in found.items()}


def _history(run: StudyRun, study: optuna.Study, label: str) -> Any:
    axes = charts.plot_optimization_history(study, target_name=label)
    axes.get_legend().remove()
    axes.collections[0].set_color(SERIES[0])
    axes.lines[0].set(color=SERIES[2], drawstyle="steps-post", alpha=1)
    for state, marker in _MARKERS.items():
        numbers = [trial.number for trial in run.trials if trial.state == state]
        at = axes.get_xaxis_transform()
        axes.plot(numbers, [0.03] * len(numbers), marker, transform=at, color=SERIES[1], markersize=6)
    return axes


def _svg(plot: Callable[[], Any], identity: str) -> str:
    """What `plot` draws; each chart once, as the page is built again after every trial."""
    if identity not in _drawn:
        # Optuna draws with `pyplot`, which must not open windows, and in a style of its own.
        matplotlib.use("agg")
        with style(), matplotlib.rc_context({"text.parse_math": False}), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            figure = np.ravel(plot())[0].figure
            _restyle(figure)
            _drawn[identity] = to_svg(figure, identity)
            pyplot.close(figure)
    return _drawn[identity]


def _restyle(figure: Figure) -> None:
    figure.suptitle("")
    for axes in figure.axes:
        axes.set_title("")
        axes.set_title("", loc="left")
        axes.tick_params(length=0)
        axes.grid(color=GRID)
        for spine in axes.spines.values():
            spine.set_color(MUTED)
        for bar in axes.patches:
            bar.set_color(SERIES[0])
    for text in figure.findobj(Text):
        text.set_color(MUTED)
    for collection in figure.findobj(ScalarMappable):
        if collection.get_array() is not None:
            collection.set_cmap(COLORS)
