"""In-memory runs that look like the real ones, with artifact folders on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from experiments.paper.table4 import EXPERIMENT
from experiments.records.results import ArtifactState, ResultRow, RowRun, Status, TableRun
from experiments.spec import Experiment

STEPS = (1, 2, 4, 8, 16)
CLASSIFIER, LITE = "classifier@28", "efficientnet-lite0@64"
CLASS_NAMES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot")

PROTOCOL = {"fingerprint": "9f2c41d07a35", "n_images": 10000, "reference": "test split, originals"}

Progress = Literal["complete", "partial", "waiting", "failed"]


class FakeStore:
    """Makes runs of an experiment whose artifact folders lie below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(
        self,
        experiment: Experiment = EXPERIMENT,
        *,
        seeds: tuple[int, ...] = (0, 1, 2),
        progress: Progress = "complete",
        **changes: Any,
    ) -> TableRun:
        """A run of `experiment`; `partial` is in the middle of its second row."""
        artifacts = [self.artifact("teacher", "teacher", seconds=212)]
        artifacts.append(self.artifact("codes", "codes", seconds=31))
        rows: list[RowRun] = []
        for number in range(len(experiment.rows)):
            for seed in seeds:
                status = _status(progress, number, seed == seeds[0])
                row = self.row_run(experiment, number, seed, status)
                if progress == "waiting":
                    row = row.model_copy(update={"training": tuple(map(_waiting, row.training))})
                rows.append(row)
                artifacts += [*rows[-1].training, rows[-1].evaluation]
        if progress == "waiting":
            artifacts = [_waiting(item) for item in artifacts]
        unique = {item.key: item for item in artifacts}
        values: dict[str, Any] = {
            "experiment": experiment,
            "profile": "cpu",
            "meaningless": False,
            "seeds": seeds,
            "overrides": {},
            "data": "Fashion-MNIST, 60,000 + 10,000 images, 28x28",
            "command": f"python -m experiments run {experiment.name} --seeds {len(seeds)}",
            "requested": "2025-11-24T09:30:00+00:00",
            "primary_extractor": CLASSIFIER,
            "artifacts": tuple(unique.values()),
            "rows": tuple(rows),
            "references": () if progress == "waiting" else references(experiment.name),
            "config": {"data": {"source": "fashion-mnist"}, "stage2": {"steps": 2000, "learning_rate": 2e-3}},
            "complete": progress == "complete",
        }
        return TableRun(**(values | changes))

    def hostile(self, text: str) -> TableRun:
        """A run with a failure whose every free text is `text`."""
        run = self.run(seeds=(0,), progress="failed")
        words = {"label": text, "overrides": {text: text}}
        claim = {"text": text, "source": text}
        experiment = EXPERIMENT.model_copy(
            update={
                "rows": tuple(row.model_copy(update=words) for row in EXPERIMENT.rows),
                "claims": tuple(item.model_copy(update=claim) for item in EXPERIMENT.claims),
                "title": text,
                "source": text,
                "description": text,
            }
        )

        def artifact(item: ArtifactState) -> ArtifactState:
            record = {"commit": text, text: {text: text}}
            error = text if item.error else None
            return item.model_copy(update={"label": text, "key": text, "error": error, "provenance": record})

        def result(item: ResultRow) -> ResultRow:
            if item.extractor:
                return item.model_copy(update={"extractor": f"{item.extractor} {text}"})
            return item.model_copy(update={"metric": f"{item.metric} {text}"})

        def row_run(item: RowRun) -> RowRun:
            measured = tuple(map(result, item.results))
            return item.model_copy(update={"protocol": {text: text}, "results": measured})

        changes = {
            "experiment": experiment,
            "artifacts": tuple(map(artifact, run.artifacts)),
            "rows": tuple(map(row_run, run.rows)),
            "overrides": {text: text},
            "config": {text: text},
        }
        return run.model_copy(update=changes | dict.fromkeys(("data", "command", "profile"), text))

    def row_run(self, experiment: Experiment, number: int, seed: int, status: Status) -> RowRun:
        """One row at one seed; its warm-up is shared by all rows of the seed."""
        row = experiment.rows[number]
        warm_up = self.artifact(
            "stage",
            f"warm-up, seed {seed}",
            curve=(500, 5.4),
            seconds=88,
            shared_by=len(experiment.rows),
        )
        alignment = self.artifact(
            "stage",
            f"alignment, {row.name}, seed {seed}",
            curve=(2000, 3.9 + 0.1 * number) if status in ("done", "running") else None,
            status=status,
            seconds=402 + 3 * number + seed,
        )
        evaluation = self.artifact(
            "evaluation",
            f"evaluation, {row.name}, seed {seed}",
            status="done" if status == "done" else "waiting",
            seconds=64,
        )
        if status == "done" and evaluation.folder:
            write_examples(evaluation.folder / "examples.npz", seed=number)
        return RowRun(
            row=row.name,
            seed=seed,
            status=status,
            evaluation=evaluation,
            training=(warm_up, alignment),
            protocol=PROTOCOL if status == "done" else {},
            results=results(experiment.name, row.name, number, seed, evaluation.key)
            if status == "done"
            else (),
        )

    def artifact(
        self,
        kind: str,
        label: str,
        *,
        status: Status = "done",
        curve: tuple[int, float] | None = None,
        seconds: float | None = None,
        shared_by: int = 1,
    ) -> ArtifactState:
        """An artifact with a folder, a loss curve `(steps, final loss)` and a provenance record."""
        key = f"{sum(map(ord, kind + label)) * 2654435761 % 2**48:012x}"
        folder = self.root / "artifacts" / f"{kind}-{key}"
        if status != "waiting":
            folder.mkdir(parents=True, exist_ok=True)
        if curve:
            steps = curve[0] if status == "done" else int(0.43 * curve[0])
            write_losses(folder / "metrics.jsonl", steps, curve[1])
        return ArtifactState(
            kind=kind,
            key=key,
            label=label,
            status=status,
            progress=0.43 if status == "running" else None,
            remaining_seconds=231.0 if status == "running" else None,
            error="RuntimeError: loss is nan at step 812\n  in stage 2" if status == "failed" else None,
            seconds=seconds if status == "done" else None,
            shared_by=shared_by,
            folder=folder if status != "waiting" else None,
            provenance={
                "commit": "3f1c2ab",
                "config_hash": key[::-1],
                "versions": {"python": "3.12.3", "torch": "2.14.1"},
                "cpu": "2 cores, AVX-512",
                "threads": 2,
                "started": "2025-11-24T09:31:07+00:00",
                "seconds": seconds,
                "peak_rss_bytes": 1_730_000_000,
            }
            if status == "done"
            else {},
        )


def _status(progress: Progress, number: int, first_seed: bool) -> Status:
    if progress in ("complete", "waiting"):
        return "done" if progress == "complete" else "waiting"
    if number == 0:
        return "done"
    if number == 1 and first_seed:
        return "running" if progress == "partial" else "failed"
    return "waiting" if progress == "partial" else "done"


def _waiting(item: ArtifactState) -> ArtifactState:
    nothing = {"status": "waiting", "seconds": None, "folder": None, "provenance": {}}
    return item.model_copy(update=nothing)


def results(table: str, row: str, number: int, seed: int, artifact: str) -> tuple[ResultRow, ...]:
    """Numbers like those of `calibration`: later rows are better, and do not get worse with T."""
    rng = np.random.default_rng([number, seed])
    found: list[ResultRow] = []

    def add(steps: int | None, metric: str, extractor: str, value: float) -> None:
        found.append(
            ResultRow(
                table=table,
                row=row,
                seed=seed,
                profile="cpu",
                steps=steps,
                temperature=0.0,
                metric=metric,
                extractor=extractor,
                value=value,
                n_images=10000,
                artifact=artifact,
            )
        )

    level = 0.02 * rng.standard_normal()
    for steps in STEPS:
        drift = (0.12 - 0.07 * number) * math.log2(steps)
        noise = 0.01 * rng.standard_normal(5)
        rfid = 2.4 - 0.11 * number + drift + level + noise[0]
        add(steps, "rfid", CLASSIFIER, rfid)
        add(steps, "is", CLASSIFIER, 6.86 + 0.04 * number - 0.3 * drift + noise[1])
        add(steps, "rfid", LITE, 160 * rfid + 30 * noise[2])
        add(steps, "psnr", "", 16.4 + 0.05 * number - drift + noise[3])
        add(steps, "ssim", "", 0.58 + 0.004 * number - 0.02 * drift + 0.1 * noise[4])
        add(steps, "code_accuracy", "", 0.223 + 0.003 * number - 0.01 * drift + 0.05 * noise[4])
    add(None, "codebook_usage", "", 0.98 + 0.005 * number)
    return tuple(found)


def references(table: str) -> tuple[ResultRow, ...]:
    """The teacher's own reconstruction and the real images."""
    known = {
        ("teacher", "rfid", CLASSIFIER): 1.12,
        ("teacher", "is", CLASSIFIER): 6.97,
        ("teacher", "rfid", LITE): 182.0,
        ("teacher", "psnr", ""): 24.1,
        ("real", "is", CLASSIFIER): 7.38,
    }
    return tuple(
        ResultRow(
            table=table,
            row=row,
            seed=0,
            profile="cpu",
            steps=None,
            temperature=None,
            metric=metric,
            extractor=extractor,
            value=value,
            n_images=10000,
            artifact="reference",
        )
        for (row, metric, extractor), value in known.items()
    )


def write_losses(path: Path, steps: int, final: float) -> None:
    """A noisy loss curve that settles at `final`, a line every ten steps."""
    rng = np.random.default_rng(steps)
    lines = [
        {"step": step, "loss": final + 1.6 * math.exp(-step / 300) + 0.05 * rng.standard_normal(), "lr": 2e-3}
        for step in range(10, steps + 1, 10)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def write_examples(path: Path, seed: int, size: int = 28, count: int = 10) -> None:
    """Discs and boxes, and copies of them that lose detail."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:size, 0:size] / size
    images = np.zeros((count, 3, size, size))
    for image in images:
        centre, radius, shade = rng.uniform(0.3, 0.7, 2), rng.uniform(0.15, 0.4, 2), rng.uniform(0.4, 1.0)
        distance = np.maximum(abs(y - centre[0]) / radius[0], abs(x - centre[1]) / radius[1])
        image[:] = shade * (distance < 1) * (0.8 + 0.2 * np.sin(20 * x))
    noise = np.random.default_rng(seed + 1).normal(0, 0.1, images[:, :1].shape)
    arrays = {"original": images} | {f"T{steps}": images + noise / math.sqrt(steps) for steps in STEPS}
    rounded = {name: (255 * array.clip(0, 1)).astype(np.uint8) for name, array in arrays.items()}
    np.savez(path, **rounded, labels=np.arange(count) % 10, class_names=np.array(CLASS_NAMES))


@pytest.fixture
def fake_store(tmp_path: Path) -> FakeStore:
    """A store of made-up runs."""
    return FakeStore(tmp_path)


@pytest.fixture
def report(fake_store: FakeStore) -> Callable[..., str]:
    """Builds the report of the given runs and returns the text of the page of that name."""
    from reports import build

    def page(*runs: TableRun, name: str = "table4.html") -> str:
        index = build(fake_store.root, runs)
        return (index.parent / name).read_text(encoding="utf-8")

    return page
