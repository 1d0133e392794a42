"""`evaluate`: a checkpoint under the full protocol, as a row of numbers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.artifacts import artifact
from experiments.commands.planning import set_and_data
from experiments.commands.wiring import Wiring
from experiments.executors.datasets import DataSets
from experiments.executors.events import Event, Finished, Progress, Started, Waiting
from experiments.executors.inline import Runner
from experiments.planning.costs import readable
from experiments.recipe import SplitEvaluation, overlay
from experiments.records.flat import csv_text, json_text
from experiments.store import Store, StoreError
from sftok import hub
from sftok.config import Config, ConfigError
from sftok.data import DataConfig
from sftok.data.fashion_mnist import IMAGE_SIZE as FASHION_MNIST_SIDE
from sftok.device import DeviceName, require_device
from sftok.evaluation.config import EFFICIENTNET_RESOLUTIONS, EvaluationError, ExtractorConfig
from sftok.evaluation.extractors import build_extractor
from sftok.models.tokenizer import SFTok
from sftok.pretrained import PretrainedError, lpips_network

WIDEST = 1000
"""Characters of a printed line."""

FIELDS = ("steps", "temperature", "metric", "extractor", "value", "n_images")


class CheckpointEvaluation(Config):
    """What `--set` reaches here."""

    device: DeviceName = "cpu"
    tf32: bool = True
    data: DataConfig
    evaluation: SplitEvaluation


def evaluate(options: argparse.Namespace, argv: list[str], wiring: Wiring) -> int:
    """Evaluate a checkpoint on a split of a data set; a repeated call reads the stored numbers."""
    tokenizer = hub.open_tokenizer(options.checkpoint, seed=options.seed, teacher=options.teacher)
    setting = _setting(options, tokenizer)
    require_device(setting.device)
    data = DataSets(setting.data)
    split = setting.evaluation.split
    node = artifact(
        "checkpoint",
        config={
            "identity": hub.identity(tokenizer),
            "opened_from": {
                "reference": str(options.checkpoint),
                "seed": options.seed,
                "teacher": None if options.teacher is None else str(options.teacher),
            },
            "protocol": setting.evaluation.model_dump(mode="json"),
        },
        data={split: data.load(split).fingerprint},
        label=f"evaluation of {options.checkpoint}",
        device=setting.device,
        tf32=setting.tf32,
    )
    decoded = _decoding(setting.evaluation) if isinstance(tokenizer, SFTok) else ""
    del tokenizer
    store = Store(options.store)
    store.prepare()
    failure = Runner(store, data.load, [_print_event]).run([node]).get(node)
    if failure is not None:
        raise StoreError(f"{options.checkpoint}: {failure}")
    result = store.result(node) or {}
    _print(result["rows"], options.format)
    fingerprint = result["protocol"]["fingerprint"][:16]
    print(f"{decoded}protocol {fingerprint}; stored in {store.folder(node)}", file=sys.stderr)
    return 0


def _decoding(evaluation: SplitEvaluation) -> str:
    """What the rows do not say of it: `decoded with temperature 0, schedule arccos, soft lookup; `."""
    how = f"temperature {evaluation.temperature:g}, schedule {evaluation.schedule}"
    return f"decoded with {how}, {evaluation.final_lookup} lookup; "


def _setting(options: argparse.Namespace, tokenizer: hub.Tokenizer) -> CheckpointEvaluation:
    """The defaults for a tokenizer, decoded as it says it is, under `--data`, `--steps` and `--set`."""
    extractors, extra_metrics = _available(tokenizer.image_size)
    decoding = tokenizer.decoding.model_dump(exclude={"steps"}) if isinstance(tokenizer, SFTok) else {}
    protocol = SplitEvaluation(extractors=extractors, extra_metrics=extra_metrics, **decoding)
    values: dict[str, Any] = {
        "data": DataConfig(image_size=tokenizer.image_size).model_dump(),
        "evaluation": protocol.model_dump(),
    }
    chosen = set_and_data(options)
    if options.steps is not None:
        if "evaluation.steps" in chosen:
            raise ConfigError("--steps and --set evaluation.steps say the same thing; give one of them")
        chosen["evaluation.steps"] = options.steps
    setting = CheckpointEvaluation.build(overlay(values, chosen))
    _refuse_other_sizes(setting.data, tokenizer.image_size)
    return setting


def _refuse_other_sizes(data: DataConfig, side: int) -> None:
    if data.image_size != side:
        raise ConfigError(
            f"data.image_size = {data.image_size}, but this tokenizer takes {side}x{side} images"
        )
    if data.source == "fashion-mnist" and side != FASHION_MNIST_SIDE:
        raise ConfigError(
            f"this tokenizer takes {side}x{side} images, and Fashion-MNIST's are "
            f"{FASHION_MNIST_SIDE}x{FASHION_MNIST_SIDE}; name images of your own with --data PATH"
        )


def _available(image_size: int) -> tuple[tuple[ExtractorConfig, ...], tuple[str, ...]]:
    """The feature spaces and slow metrics whose weights are at hand; says in a line what is left out."""
    side = max(size for size in EFFICIENTNET_RESOLUTIONS if size <= max(64, image_size))
    extractors = [ExtractorConfig.model_validate({"name": "efficientnet-lite0", "resolution": side})]
    inception = ExtractorConfig(name="inception-v3-compat")
    extra: tuple[str, ...] = ()
    try:
        build_extractor(inception)
        extractors.insert(0, inception)
    except EvaluationError as error:
        print(f"left out: {error}", file=sys.stderr)
    try:
        lpips_network("alex")
        extra = ("lpips",)
    except PretrainedError as error:
        print(f"left out: {error}", file=sys.stderr)
    return tuple(extractors), extra


def _print(rows: Iterable[Mapping[str, Any]], output: str) -> None:
    chosen = [{field: row[field] for field in FIELDS} for row in rows]
    if output == "json":
        sys.stdout.write(json_text(chosen))
    elif output == "csv":
        sys.stdout.write(csv_text(FIELDS, chosen))
    else:
        _print_by_steps(chosen)


def _print_by_steps(rows: list[dict[str, Any]]) -> None:
    """A line a metric, a column a number of steps."""
    columns = sorted({row["steps"] for row in rows}, key=lambda steps: (steps is not None, steps))
    names = dict.fromkeys((row["metric"], row["extractor"]) for row in rows)
    cells = {(row["metric"], row["extractor"], row["steps"]): row["value"] for row in rows}
    table = Table(
        "metric", "feature space", *("any T" if steps is None else f"T={steps}" for steps in columns)
    )
    for metric, extractor in names:
        values = (cells.get((metric, extractor, steps)) for steps in columns)
        table.add_row(metric, extractor, *("" if value is None else _short(value) for value in values))
    print(f"{rows[0]['n_images']:,} images")
    # Never narrowed: a number that is cut reads as another. A terminal wraps what is too long.
    Console(width=WIDEST).print(table)


def _short(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.1f}"


def _print_event(event: Event) -> None:
    """Print a line at the start and the end; a bar would hide what is printed."""
    label = event.artifact.label
    match event:
        case Started():
            print(f"{label}: started", file=sys.stderr)
        case Progress(_, done, total, remaining) if sys.stderr.isatty():
            print(f"\r{100 * done / total:.0f} %, {readable(remaining)} left ", end="", file=sys.stderr)
        case Finished(_, result):
            print(f"{label}: done in {readable(result['provenance']['seconds'])}", file=sys.stderr)
        case Waiting(_, owner):
            print(f"{label}: being made by process {owner['pid']} on {owner['host']}", file=sys.stderr)
