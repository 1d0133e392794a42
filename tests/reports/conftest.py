"""A synthetic store and the pages of its runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stored_runs import StoreMaker, like_table4

from experiments.paper.table4 import EXPERIMENT
from experiments.records import Run
from reports import build


@pytest.fixture
def maker(tmp_path: Path) -> Iterator[StoreMaker]:
    """Writes runs into a store."""
    made = StoreMaker(tmp_path)
    yield made
    made.close()


@pytest.fixture
def report(maker: StoreMaker) -> Callable[..., str]:
    """Builds the report of the given runs and returns the text of the page of that name."""

    def page(*runs: Run, name: str = "table4.html") -> str:
        index = build(maker.store.root, runs)
        return (index.parent / name).read_text(encoding="utf-8")

    return page


@pytest.fixture
def hostile(maker: StoreMaker) -> Callable[[str], Run]:
    """A run with a failure whose every free text is the given one."""

    def made(text: str) -> Run:
        words = {"label": text, "overrides": {text: text}}
        claim = {"text": text, "source": text}
        experiment = EXPERIMENT.model_copy(
            update={
                "rows": tuple(row.model_copy(update=words) for row in EXPERIMENT.rows),
                "claims": tuple(item.model_copy(update=claim) for item in EXPERIMENT.claims),
                **dict.fromkeys(("title", "source", "description"), text),
            }
        )

        def measure(row: str, seed: int) -> list[dict[str, Any]]:
            def odd(line: dict[str, Any]) -> dict[str, Any]:
                name = "extractor" if line["extractor"] else "metric"
                return line | {name: f"{line[name]} {text}", "class": text}

            plain = like_table4(row, seed)
            return [*plain, *map(odd, plain)]

        described = {
            "rfid": {"name": "rfid", "label": text, "meaning": text, "unit": text, "of_features": True}
        }
        run = maker.run(
            experiment,
            seeds=(0,),
            progress="failed",
            measure=measure,
            metrics=described,
            recipe={text: text},
            overrides={text: text},
            **dict.fromkeys(("data", "command", "profile"), text.replace("/", "")),
        )
        failed = run.request.by_name[run.rows[1].training[1].name]
        maker.store.record_failure(failed, {"reason": text, "traceback": text})
        return maker.load(run.request)

    return made
