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
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, NullFormatter
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.visualization import matplotlib as charts

from experiments.records.study_results import StudyRun
from experiments.studies.trials import from_records
from reports.figures import GRID, MUTED, SERIES, style, to_svg

PARALLEL = "Parallel coordinates"

COLORS = "cool"
"""Color map from better to worse or earlier to later trials, readable on light and dark pages."""

_MARKERS = {"pruned": "|", "failed": "x"}

_SIZES, _WIDE = {"History": (4.6, 3.0), "Importance": (4.6, 2.0)}, (9.4, 3.2)
"""Sizes of figures in inches."""

_drawn: dict[str, str] = {}


def draw(run: StudyRun, label: str) -> dict[str, str]:
    """The charts of a study with complete trials, as `<svg>` by title; `label` names the objective."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize" if run.study.objective.lower_is_better else "maximize")
    study.add_trials(from_records(run))
    found = {"History": partial(_history, run, study, label)}
    if run.importance and len(run.importance) > 1:
        evaluator = PedAnovaImportanceEvaluator()
        found["Importance"] = partial(charts.plot_param_importances, study, evaluator=evaluator)
    if sum(trial.state == "complete" for trial in run.trials) > 1:
        found["Slices"] = partial(charts.plot_slice, study, target_name=label)
        found[PARALLEL] = partial(charts.plot_parallel_coordinate, study, target_name=label)
    identity = f"{run.study.model_dump_json()} {run.trials} {label}"
    return {title: _svg(title, plot, f"{title} {identity}") for title, plot in found.items()}


def _history(run: StudyRun, study: optuna.Study, label: str) -> Any:
    axes = charts.plot_optimization_history(study, target_name=label)
    axes.collections[0].set_color(SERIES[0])
    axes.lines[0].set(color=SERIES[2], drawstyle="steps-post", alpha=1)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    for state, marker in _MARKERS.items():
        numbers = [trial.number for trial in run.trials if trial.state == state]
        at = axes.get_xaxis_transform()
        axes.plot(numbers, [0.03] * len(numbers), marker, transform=at, color=SERIES[1], markersize=6)
    return axes


def _svg(title: str, plot: Callable[[], Any], identity: str) -> str:
    """Draw with `plot`; results are cached, because the page is rebuilt after every trial."""
    if identity not in _drawn:
        # Optuna uses `pyplot`, which must not open windows.
        matplotlib.use("agg")
        names_are_text: dict[Any, Any] = {"text.parse_math": False, "savefig.bbox": "tight"}
        with style(), matplotlib.rc_context(names_are_text), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about experimental charts and single values
            figure = np.ravel(plot())[0].figure
            figure.set_size_inches(_SIZES.get(title, _WIDE))
            _restyle(figure, grid=title != PARALLEL)
            _drawn[identity] = to_svg(figure, identity)
            pyplot.close(figure)
    return _drawn[identity]


def _restyle(figure: Figure, grid: bool) -> None:
    """Replace Optuna's style by the page's."""
    figure.suptitle("")
    for axes in figure.axes:
        axes.set_title("")
        axes.set_title("", loc="left")
        axes.tick_params(length=0, which="both")
        axes.grid(visible=grid, color=GRID)
        if legend := axes.get_legend():
            legend.remove()
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":
                axis.set_major_formatter("{x:g}")
                axis.set_minor_formatter(NullFormatter())
        for side in axes.spines.values():
            side.set_color(MUTED)
        for bar in axes.patches:
            bar.set_color(SERIES[0])
    for text in figure.findobj(Text):
        text.set(color=MUTED, fontsize=9.8)
    for collection in figure.findobj(Collection):
        if collection.get_array() is not None:
            collection.set_cmap(COLORS)
