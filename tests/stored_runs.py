"""Synthetic stores: requests, results, training logs and examples on disk, as a real run leaves them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments.paper.table4 import EXPERIMENT
from experiments.records import Run, load_run
from experiments.requests import StoredRequest, StoredRow
from experiments.specs import Experiment, Row
from experiments.specs.registry import Registry
from experiments.store import EXAMPLES, METRICS, PROGRESS, Store, StoredArtifact
from experiments.store import write_json as write
from experiments.store.locks import lock

SPECS = Registry(("experiments.paper", "ablations")).experiments()
STEPS = (1, 2, 4, 8, 16)
CLASSIFIER, LITE = "classifier@28", "efficientnet-lite0@64"
CLASS_NAMES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot")
PROTOCOL = {"fingerprint": "9f2c41d07a35", "n_images": 10_000}
IMAGES = {"warm-up": 500 * 64, "alignment": 2000 * 64}

Progress = Literal["complete", "partial", "waiting", "failed"]
Measure = Callable[[str, int], list[dict[str, Any]]]


def _metric(
    name: str, label: str, direction: int, unit: str = "", of_features: bool = False
) -> dict[str, Any]:
    described = {
        "name": name,
        "label": label,
        "direction": direction,
        "unit": unit,
        "meaning": f"about {label}",
    }
    return described | {"of_features": of_features}


DESCRIBED = {
    each["name"]: each
    for each in (
        _metric("rfid", "rFID", -1, of_features=True),
        _metric("gfid", "gFID", -1, of_features=True),
        _metric("is", "IS", 1, of_features=True),
        _metric("psnr", "PSNR", 1, "dB"),
        _metric("ssim", "SSIM", 1),
        _metric("kl_to_truth", "KL from the truth", -1, "nats"),
        _metric("kl_to_final", "KL from the final prediction", -1, "nats"),
        _metric("accuracy", "Top-1 accuracy", 1),
        _metric("agreement_with_final", "Agreement with the final prediction", 1),
        _metric("cross_entropy", "Cross-entropy", -1, "nats per code"),
        _metric("accuracy_bound", "Accuracy bound", 1),
        _metric("information_gain", "Information gain", 1, "nats"),
        _metric("exposure_gap", "Exposure gap", -1, "nats"),
        _metric("final_loss", "Loss, at the end", -1),
        _metric("hours_total", "Hours, total", -1),
    )
}


def line(
    metric: str, value: float, extractor: str = "", subject: str = "tokenizer", **at: Any
) -> dict[str, Any]:
    """One number of a `result.json`."""
    identity = {"subject": subject, "metric": metric, "extractor": extractor}
    return {**identity, **at, "value": value, "n_images": 10_000}


def like_table4(row: str, seed: int) -> list[dict[str, Any]]:
    """Numbers of a row of Table 4: later rows are better, and most metrics get worse with T."""
    rows = [each.name for each in EXPERIMENT.rows]
    number = rows.index(row) if row in rows else len(row) % 3
    rng = np.random.default_rng([number, seed])
    level = 0.02 * rng.standard_normal()
    found = []
    for steps in STEPS:
        drift = (0.12 - 0.07 * number) * math.log2(steps)
        noise = 0.01 * rng.standard_normal(4)
        rfid = 2.4 - 0.11 * number + drift + level + noise[0]
        found += [
            line("rfid", rfid, CLASSIFIER, steps=steps, temperature=0.0),
            line(
                "is", 6.86 + 0.04 * number - 0.3 * drift + noise[1], CLASSIFIER, steps=steps, temperature=0.0
            ),
            line("rfid", 160 * rfid + 30 * noise[2], LITE, steps=steps, temperature=0.0),
            line("psnr", 16.4 + 0.05 * number - drift + noise[3], steps=steps, temperature=0.0),
        ]
    return [*found, line("codebook_usage", 0.98 + 0.005 * number)]


REFERENCES = [
    line("rfid", 1.12, CLASSIFIER, "teacher"),
    line("is", 6.97, CLASSIFIER, "teacher"),
    line("rfid", 182.0, LITE, "teacher"),
    line("psnr", 24.1, subject="teacher"),
    line("is", 7.38, CLASSIFIER, "real"),
]


def with_rows(experiment: Experiment, *rows: Row, **changes: Any) -> Experiment:
    """The experiment with other rows."""
    return experiment.model_copy(update={"rows": rows or experiment.rows, **changes})


class StoreMaker:
    """Writes the store of a run and reads it back as `records` does."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self.store.prepare()
        self._held: list[Any] = []

    def run(
        self,
        experiment: Experiment = EXPERIMENT,
        *,
        seeds: tuple[int, ...] = (0, 1, 2),
        progress: Progress = "complete",
        measure: Measure = like_table4,
        references: Sequence[Mapping[str, Any]] = REFERENCES,
        **changes: Any,
    ) -> Run:
        """A run of `experiment`; `partial` and `failed` are in the middle of the second row."""
        request = self.request(experiment, seeds, **changes)
        if progress != "waiting":
            for number, row in enumerate(request.rows):
                state = _state_of(progress, number, len(experiment.trained_rows))
                self._make(request, row, state, measure)
            if request.reference:
                self.finish(
                    request.by_name[request.reference],
                    rows=list(references),
                    protocol={"fingerprint": "of the teacher"},
                )
        return self.load(request)

    def load(self, request: StoredRequest) -> Run:
        """The stored run as it is now."""
        return load_run(self.store, request)

    def request(
        self, experiment: Experiment = EXPERIMENT, seeds: tuple[int, ...] = (0,), **changes: Any
    ) -> StoredRequest:
        """A stored request whose rows share a teacher, its codes and a warm-up for each seed."""
        teacher = artifact("teacher", "teacher")
        codes = artifact("codes", "teacher codes", teacher=teacher)
        reference = artifact("evaluation", "evaluation of the teacher", teacher=teacher)
        artifacts, rows = [teacher, codes, reference], []
        for seed in seeds:
            warm_up = artifact("stage", f"warm-up, seed {seed}", stage="warm-up", codes=codes)
            artifacts.append(warm_up)
            for row in experiment.trained_rows:
                name = f"{row.name}, seed {seed}"
                alignment = artifact("stage", f"alignment of {name}", stage="alignment", start=warm_up)
                inputs, more = {"tokenizer": alignment}, []
                kind = "generation" if row.measures == "generation" else "evaluation"
                if kind == "generation":
                    inputs["guidance"] = artifact("guidance", f"guidance of {name}", tokenizer=alignment)
                    more.append(inputs["guidance"])
                evaluation = artifact(kind, f"evaluation of {name}", **inputs)
                analyses = [
                    artifact("analysis", f"{each} of {name}", **inputs) for each in experiment.analyses
                ]
                artifacts += [alignment, *more, evaluation, *analyses]
                names = [each.name for each in analyses]
                training = (warm_up.name, alignment.name)
                rows.append(
                    StoredRow(
                        row=row.name, seed=seed, training=training, evaluation=evaluation.name, analyses=names
                    )
                )
        count = len(seeds)
        values: dict[str, Any] = {
            "command": f"python -m experiments run {experiment.name} --seeds {count}",
            "data": "Fashion-MNIST, 60,000 + 10,000 images, 28x28",
            "requested": "2025-11-24T09:30:00+00:00",
            "experiment": experiment,
            "profile": "cpu",
            "meaningless": False,
            "threads": 2,
            "seeds": seeds,
            "overrides": {},
            "recipe": {"data": {"source": "fashion-mnist"}, "stage2": {"steps": 2000}},
            "recipes": {},
            "primary_extractor": CLASSIFIER,
            "metrics": DESCRIBED,
            "facts": {},
            "artifacts": tuple(artifacts),
            "rows": tuple(rows),
            "reference": reference.name,
        }
        request = StoredRequest.model_validate(values | changes)
        return StoredRequest.load(request.save(self.store.root))

    def finish(self, artifact: StoredArtifact, *, took: float = 64.0, **result: Any) -> Path:
        """Commit an artifact with what its work folder holds; returns its folder."""
        if not self.store.is_done(artifact):
            self.store.open_work(artifact, {})
            made = {"commit": "3f1c2ab", "config_hash": artifact.key[::-1], "cpu": "2 cores", "threads": 2}
            made |= {"started": "2025-11-24T09:31:07+00:00", "seconds": took, "peak_rss_bytes": 1_730_000_000}
            described = {each["metric"] for each in result.get("rows", ())} & DESCRIBED.keys()
            metrics = {name: DESCRIBED[name] for name in described}
            self.store.commit(artifact, {"provenance": made, "metrics": metrics} | result)
        return self.store.folder(artifact)

    def start(self, artifact: StoredArtifact, done: int, total: int) -> Path:
        """Lock an artifact as a live process does, and say how far it is; returns its work folder."""
        held = lock(self.store.lock_path(artifact))
        assert held.__enter__()
        self._held.append(held)
        folder = self.store.open_work(artifact, {})
        write(folder / PROGRESS, {"done": done, "total": total, "remaining_seconds": 231.0})
        return folder

    def close(self) -> None:
        """Release the locks."""
        for held in self._held:
            held.__exit__(None, None, None)

    def _make(self, request: StoredRequest, row: StoredRow, state: str, measure: Measure) -> None:
        if state == "waiting":
            return
        number = [each.name for each in request.experiment.rows].index(row.row)
        for needed in request.needed_by(row):
            if needed.stage == "alignment" and state != "done":
                if state == "failed" and row.seed == request.seeds[0]:
                    self.store.record_failure(needed, {"reason": "loss is nan at step 812", "traceback": ""})
                elif state == "running" and row.seed == request.seeds[0]:
                    write_log(self.start(needed, 43, 100), 860, 4.0)
                return
            if self.store.is_done(needed):
                continue
            folder = self.store.open_work(needed, {})
            seconds = {"warm-up": 88.0, "alignment": 402.0 + 3 * number + row.seed}.get(needed.stage, 64.0)
            result: dict[str, Any] = {}
            if needed.stage in IMAGES:
                write_log(folder, needed.units, 3.9 + 0.1 * number)
                result = {"seconds": seconds, "images_per_second": needed.images / seconds}
            elif needed.name == row.evaluation:
                result = {"rows": measure(row.row, row.seed), "protocol": PROTOCOL}
                write_examples(folder / EXAMPLES, seed=number)
            elif needed.name in row.analyses:
                result = {"rows": measure(needed.label, row.seed), "protocol": {}}
            self.finish(needed, took=seconds, **result)


def artifact(kind: str, label: str, stage: str = "", **inputs: StoredArtifact) -> StoredArtifact:
    """A stored artifact whose key is a hash of its label."""
    key = hashlib.sha256(f"{kind} {label}".encode()).hexdigest()[:16]
    images = IMAGES.get(stage, 0)
    return StoredArtifact(
        name=f"{kind}-{key}",
        kind=kind,
        version=1,
        stage=stage or kind,
        label=label,
        inputs={role: each.name for role, each in inputs.items()},
        data={},
        device="cpu",
        units=images // 64 or 1,
        images=images,
        record={},
    )


def write_log(folder: Path, steps: int, final: float) -> None:
    """A noisy loss curve that settles at `final`, a line every ten steps."""
    rng = np.random.default_rng(steps)
    lines = []
    for step in range(10, steps + 1, 10):
        loss = final + 1.6 * math.exp(-step / 300) + 0.05 * rng.standard_normal()
        lines.append({"step": step, "loss": loss, "reconstruction_loss": loss - 1, "learning_rate": 2e-3})
    (folder / METRICS).write_text("".join(json.dumps(each) + "\n" for each in lines))


def write_examples(path: Path, seed: int, size: int = 28, count: int = 10) -> None:
    """Discs and boxes, and copies of them that lose detail; and samples of each class."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:size, 0:size] / size
    images = np.zeros((count, 3, size, size))
    for image in images:
        center, radius, shade = rng.uniform(0.3, 0.7, 2), rng.uniform(0.15, 0.4, 2), rng.uniform(0.4, 1.0)
        distance = np.maximum(abs(y - center[0]) / radius[0], abs(x - center[1]) / radius[1])
        image[:] = shade * (distance < 1) * (0.8 + 0.2 * np.sin(20 * x))
    noise = np.random.default_rng(seed + 1).normal(0, 0.1, images[:, :1].shape)
    arrays = {"original": images} | {f"T{steps}": images + noise / math.sqrt(steps) for steps in STEPS}
    rounded = {name: (255 * array.clip(0, 1)).astype(np.uint8) for name, array in arrays.items()}
    np.savez(path, **rounded, labels=np.arange(count) % 10, class_names=np.array(CLASS_NAMES))


def _state_of(progress: Progress, number: int, rows: int) -> str:
    """The first row is done; of the second, the first seed is running or has failed."""
    if progress == "complete" or number % rows == 0:
        return "done"
    if number == 1:
        return "running" if progress == "partial" else "failed"
    return "waiting" if progress == "partial" else "done"
