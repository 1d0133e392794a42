"""Names of what an analysis measures, beside the metrics of an evaluation. Reports read them without torch.

A quantity of each decoding step is `step_` and its name, and its row's `steps` says which step it is, from 1:
`step_kl_to_truth`. A quantity of a context ends in the visible share in percent: `ce_own_visible_50`.
"""

from __future__ import annotations

import re

STEP = "step_"

WORDS = {
    "kl_to_truth": "from the truth",
    "kl_to_final": "from the final prediction",
    "accuracy": "with the truth",
    "agreement_with_final": "with the final prediction",
    "single": "no context",
    "true": "true codes",
    "own": "own codes",
    "second_pass": "second pass",
}
"""What a quantity, or the context of one, is held against or given; others are named as they are."""

_VISIBLE = re.compile(r"(?P<quantity>\w+)_visible_(?P<percent>[\d.]+)")


def of_step(quantity: str) -> str:
    """The metric of a quantity that each decoding step has."""
    return STEP + quantity


def at_visible(quantity: str, fraction: float) -> str:
    """The metric of a quantity at a visible share of the codes."""
    return f"{quantity}_visible_{100 * fraction:g}"


def is_of_step(metric: str) -> bool:
    """Whether the metric's `steps` says which step, and not how many."""
    return metric.startswith(STEP)


def visible_percent(metric: str) -> tuple[str, float] | None:
    """The quantity and the visible share in percent; None for a metric of no context."""
    found = _VISIBLE.fullmatch(metric)
    return (found["quantity"], float(found["percent"])) if found else None


def is_quantity(metric: str) -> bool:
    """Whether an analysis measures it, rather than an evaluation."""
    return is_of_step(metric) or visible_percent(metric) is not None


def place(metric: str, steps: int | None, named: bool) -> str:
    """Where a value stands: `T=8`, `step 8`, `50 % visible`; if `named`, with what the quantity is of."""
    context = visible_percent(metric)
    if context is not None:
        quantity, percent = context
        return f"{words_of(quantity)} ({percent:g} %)" if named else f"{percent:g} % visible"
    if steps is None:
        return ""
    if not is_of_step(metric):
        return f"T={steps}"
    return f"{words_of(metric.removeprefix(STEP))}, step {steps}" if named else f"step {steps}"


def words_of(quantity: str) -> str:
    """Of `ce_own`: `own codes`; of a gap its own name."""
    without_kind = re.sub(r"^(ce|accuracy|bound)_", "", quantity)
    return WORDS.get(quantity) or WORDS.get(without_kind) or quantity.replace("_", " ")
