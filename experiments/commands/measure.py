"""Measures a checkpoint for `evaluate`, and prints its numbers."""

from __future__ import annotations

import sys

import pandas as pd

from experiments.artifacts.checkpoint import Checkpoint
from experiments.commands.durations import readable
from experiments.commands.evaluate import MeasureOptions
from experiments.commands.plans import set_and_data
from experiments.executors.datasets import DataSets
from experiments.executors.events import Event, Finished, Progress, Started, Waiting
from experiments.executors.inline import Runner
from experiments.recipe import SplitEvaluation, overlay
from experiments.records.frame import table
from experiments.store import Result, Store, StoreError
from sftok.config import Config, ConfigError
from sftok.data import DataConfig
from sftok.data.fashion_mnist import IMAGE_SIZE as FASHION_MNIST_SIDE
from sftok.device import DeviceName, require_device
from sftok.evaluation.extractors.base import ExtractorConfig
from sftok.evaluation.extractors.efficientnet_lite0 import RESOLUTIONS, EfficientNetLite0Config
from sftok.evaluation.extractors.inception_v3 import InceptionV3Config
from sftok.io.published import PretrainedError
from sftok.metrics.base import EvaluationError, MetricConfig
from sftok.metrics.lpips import LPIPSConfig
from sftok.tokenizers import hub
from sftok.tokenizers.sftok import SFTok

FINGERPRINT_DIGITS = 16


class CheckpointEvaluation(Config):
    """What `--set` reaches here."""

    device: DeviceName = "cpu"
    tf32: bool = True
    data: DataConfig
    evaluation: SplitEvaluation


def measure(checkpoint: str, options: MeasureOptions, store: Store) -> Result:
    """Evaluate a checkpoint, unless its numbers are stored.

    Raises:
        CheckpointError, ConfigError, DataError, DeviceError: what is asked for cannot be measured.
        StoreError: the evaluation failed.
    """
    tokenizer = hub.open_tokenizer(checkpoint, seed=options.seed, teacher=options.teacher)
    setting = _setting(options, tokenizer)
    require_device(setting.device)
    data = DataSets(setting.data)
    split = setting.evaluation.split
    artifact = Checkpoint(
        label=f"evaluation of {checkpoint}",
        device=setting.device,
        tf32=setting.tf32,
        data={split: data.load(split).fingerprint},
        protocol=setting.evaluation,
        content=hub.identity(tokenizer),
        reference=checkpoint,
        weights_seed=options.seed,
        teacher_reference=None if options.teacher is None else str(options.teacher),
    )
    decoded = _decoding(setting.evaluation) if isinstance(tokenizer, SFTok) else ""
    del tokenizer
    store.prepare()
    failures = Runner(store, data.load, [_tell]).run([artifact])
    if failures:
        raise StoreError(f"{checkpoint}: {failures[artifact]}")
    result = store.result(artifact)
    assert result is not None, "the runner has finished it"
    fingerprint = result.protocol["fingerprint"][:FINGERPRINT_DIGITS]
    print(f"{decoded}protocol {fingerprint}; stored in {store.folder(artifact)}", file=sys.stderr)
    return result


def numbers(result: Result) -> pd.DataFrame:
    """One line for each number, with the fingerprint of the protocol."""
    fingerprint = str(result.protocol["fingerprint"])
    lines = table([row.model_dump() | {"protocol": fingerprint} for row in result.rows])
    return lines[["steps", "temperature", "metric", "extractor", "value", "n_images", "protocol"]]


def _decoding(evaluation: SplitEvaluation) -> str:
    """What the rows do not say about it: `decoded with temperature 0, schedule arccos, soft lookup; `."""
    how = f"temperature {evaluation.temperature:g}, schedule {evaluation.schedule}"
    return f"decoded with {how}, {evaluation.final_lookup} lookup; "


def _setting(options: MeasureOptions, tokenizer: hub.Tokenizer) -> CheckpointEvaluation:
    """The defaults for a tokenizer, decoded as it says it is, under `--data`, `--steps` and `--set`."""
    side = tokenizer.image_size
    extractors, metrics = _available(side)
    decoding = tokenizer.decoding.model_dump(exclude={"steps"}) if isinstance(tokenizer, SFTok) else {}
    protocol = SplitEvaluation(extractors=extractors, metrics=metrics, **decoding)
    values = {"data": DataConfig(image_size=side).model_dump(), "evaluation": protocol.model_dump()}
    chosen = set_and_data(options.overrides, options.data)
    if options.steps is not None:
        if "evaluation.steps" in chosen:
            raise ConfigError("--steps and --set evaluation.steps both set the steps; use only one")
        chosen["evaluation.steps"] = options.steps
    setting = CheckpointEvaluation.build(overlay(values, chosen))
    if setting.data.image_size != side:
        raise ConfigError(
            f"data.image_size = {setting.data.image_size}, but this tokenizer takes {side}x{side} images"
        )
    if setting.data.source == "fashion-mnist" and side != FASHION_MNIST_SIDE:
        raise ConfigError(
            f"this tokenizer takes {side}x{side} images, and Fashion-MNIST's are "
            f"{FASHION_MNIST_SIDE}x{FASHION_MNIST_SIDE}; give your own images with --data PATH"
        )
    return setting


def _available(image_size: int) -> tuple[tuple[ExtractorConfig, ...], tuple[MetricConfig, ...]]:
    """The feature spaces and metrics whose weights are at hand; a line for each that is left out."""
    side = max(size for size in RESOLUTIONS if size <= max(64, image_size))
    extractors: list[ExtractorConfig] = [EfficientNetLite0Config.model_validate({"resolution": side})]
    metrics = SplitEvaluation.model_fields["metrics"].get_default()
    try:
        InceptionV3Config().check_weights()
        extractors.insert(0, InceptionV3Config())
    except EvaluationError as error:
        print(f"left out: {error}", file=sys.stderr)
    try:
        LPIPSConfig().check_weights()
        metrics = (*metrics, LPIPSConfig())
    except PretrainedError as error:
        print(f"left out: {error}", file=sys.stderr)
    return tuple(extractors), metrics


def by_steps(rows: pd.DataFrame) -> str:
    """A line for each metric, a column for each number of steps."""
    names = {steps: f"T={steps}" for steps in sorted(set(rows["steps"].dropna()))}
    columns = rows["steps"].map(names).fillna("any T")
    table = rows.assign(T=columns).pivot(index=["metric", "extractor"], columns="T", values="value")
    order = rows.drop_duplicates(["metric", "extractor"]).set_index(["metric", "extractor"]).index
    table = table.reindex(index=order, columns=["any T", *names.values()])
    shown = table.to_string(na_rep="", float_format=_short, index_names=False)
    return f"{rows['n_images'].iloc[0]:,} images\n{shown}"


def _short(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.1f}"


def _tell(event: Event) -> None:
    """One line at the start and the end; a bar would hide what is printed."""
    match event:
        case Started(artifact):
            print(f"{artifact.label}: started", file=sys.stderr)
        case Progress(_, done, total, remaining) if sys.stderr.isatty():
            print(f"\r{100 * done / total:.0f} %, {readable(remaining)} left ", end="", file=sys.stderr)
        case Finished(artifact, result):
            print(f"{artifact.label}: done in {readable(result.provenance.seconds)}", file=sys.stderr)
        case Waiting(artifact, owner):
            who = f"process {owner['pid']} on {owner['host']}"
            print(f"{artifact.label}: waiting for {who}, which is computing it", file=sys.stderr)
