"""Carries out `evaluate`: measures the subject and formats the numbers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.artifacts.base import Artifact
from experiments.artifacts.explanation import Explanation
from experiments.artifacts.measurement import Measurement, ReferenceConfig
from experiments.artifacts.samples import Samples, SplitSamplesConfig
from experiments.commands.durations import readable
from experiments.commands.evaluate import MeasureOptions
from experiments.commands.plans import set_and_data
from experiments.executors.datasets import DataSets
from experiments.executors.events import Event, Finished, Progress, Started, Waiting
from experiments.executors.inline import Runner
from experiments.recipe import SplitEvaluation, overlay
from experiments.records.frame import table
from experiments.records.measurements import class_table, of_all_classes
from experiments.store import Result, Store, StoreError
from sftok.config import Config, ConfigError
from sftok.data import DataConfig
from sftok.data.fashion_mnist import IMAGE_SIZE as FASHION_MNIST_SIDE
from sftok.data.plain_images import read_plain_images
from sftok.device import DeviceName, require_device
from sftok.evaluation.entry import check_ids
from sftok.evaluation.explain import PROTOCOL, VARIATIONS
from sftok.evaluation.extractors.base import ExtractorConfig
from sftok.evaluation.extractors.efficientnet_lite0 import RESOLUTIONS, EfficientNetLite0Config
from sftok.evaluation.extractors.inception_v3 import InceptionV3Config
from sftok.evaluation.probe import embedding_of
from sftok.evaluation.reference import open_reference
from sftok.evaluation.samples import SamplesConfig
from sftok.evaluation.subjects.base import Opened, SubjectConfig
from sftok.io.published import PretrainedError
from sftok.metrics.base import EvaluationError, MetricConfig
from sftok.metrics.lpips import LPIPSConfig
from sftok.metrics.rate import RateConfig

FINGERPRINT_DIGITS = 16

SPLITS = ("train", "validation", "test")


class MeasurementSetting(Config):
    """The settings that `--set` can change."""

    device: DeviceName = "cpu"
    tf32: bool = True
    data: DataConfig
    evaluation: SplitEvaluation


def measure(subject: SubjectConfig, options: MeasureOptions, store: Store) -> Result:
    """Measure a subject, unless its numbers are stored.

    Raises:
        CheckpointError, ConfigError, DataError, DeviceError, SubjectError: it cannot be measured as asked.
        StoreError: the evaluation failed.
    """
    opened = subject.open()
    setting = _setting(options, opened)
    require_device(setting.device)
    data = DataSets(setting.data)
    images = data.load(setting.evaluation.split)
    ready = opened.on(images)
    check_ids(ready.measured, images, subject.label)
    if options.explain:
        return _explanation(subject, ready.identity, options, setting, data, store)
    reference = None if options.reference is None else _reference(options.reference, data, setting.data)
    if options.probe and embedding_of(ready.measured) is None:
        raise ConfigError(f"--probe: {subject.label} has no token embeddings (a method embed(ids))")
    splits = dict.fromkeys((setting.evaluation.split, *(("train",) if options.probe else ())))
    artifact = Measurement(
        label=f"evaluation of {subject.label}",
        device=setting.device,
        tf32=setting.tf32,
        data={split: data.load(split).fingerprint for split in splits},
        protocol=setting.evaluation,
        subject=subject,
        content=ready.identity,
        reference=reference,
        resamples=options.bootstrap,
        per_class=options.per_class,
        probe=options.probe,
    )
    decoded = _decoding(setting.evaluation) if opened.decoding else ""
    del opened, ready
    return _made(artifact, data, store, decoded)


def _explanation(
    subject: SubjectConfig,
    identity: str,
    options: MeasureOptions,
    setting: MeasurementSetting,
    data: DataSets,
    store: Store,
) -> Result:
    """rFID under every variation of the protocol."""
    if options.reference is not None:
        raise ConfigError("--explain compares references itself; leave --reference out")
    for option in ("bootstrap", "per-class", "probe"):
        if getattr(options, option.replace("-", "_")):
            raise ConfigError(f"--explain prints rFID alone; leave --{option} out")
    split = setting.evaluation.split
    artifact = Explanation(
        label=f"explanation of {subject.label}",
        device=setting.device,
        tf32=setting.tf32,
        data={each: data.load(each).fingerprint for each in dict.fromkeys((split, "train"))},
        protocol=setting.evaluation,
        subject=subject,
        content=identity,
    )
    return _made(artifact, data, store)


def explained(result: Result) -> pd.DataFrame:
    """One row per variation: the change, the number, the difference, and who uses this protocol."""
    values = {str(row.model_dump()["variation"]): row for row in result.rows}
    base = values[PROTOCOL.name].value
    lines = [
        {
            "what changed": each.changed,
            "images": values[each.name].n_images,
            "rfid": round(values[each.name].value, 4),
            "difference": round(values[each.name].value - base, 4),
            "published or reported by": each.who,
        }
        for each in VARIATIONS
        if each.name in values
    ]
    print(f"rFID in {result.rows[0].extractor}", file=sys.stderr)
    return pd.DataFrame(lines)


class SamplesSetting(Config):
    """The settings that `--set` can change for generated images."""

    device: DeviceName = "cpu"
    tf32: bool = True
    data: DataConfig
    evaluation: SplitSamplesConfig


def measure_samples(path: Path, options: MeasureOptions, store: Store) -> Result:
    """Compare generated images with a split or another reference, unless the numbers are stored.

    Raises:
        ConfigError, DataError, DeviceError: they cannot be measured as asked.
        StoreError: the evaluation failed.
    """
    for option in ("steps", "explain", "bootstrap", "per-class", "probe"):
        if getattr(options, option.replace("-", "_")):
            raise ConfigError(f"--{option} is for reconstructions, not for samples")
    samples = read_plain_images(path, shuffled=True)
    side = samples.image_size
    metrics = SamplesConfig.model_fields["metrics"].get_default()
    protocol = SplitSamplesConfig(extractors=_extractors(side), metrics=metrics)
    values = {"data": DataConfig(image_size=side).model_dump(), "evaluation": protocol.model_dump()}
    setting = SamplesSetting.build(overlay(values, set_and_data(options.overrides, options.data)))
    if setting.data.image_size != side:
        raise ConfigError(f"data.image_size = {setting.data.image_size}, but the samples are {side}x{side}")
    require_device(setting.device)
    data = DataSets(setting.data)
    artifact = Samples(
        label=f"evaluation of {path}",
        device=setting.device,
        tf32=setting.tf32,
        protocol=setting.evaluation,
        location=str(path.absolute()),
        content=samples.fingerprint,
        image_size=side,
        reference=_reference(options.reference or setting.evaluation.split, data, setting.data),
    )
    return _made(artifact, data, store)


def _made(artifact: Artifact, data: DataSets, store: Store, remark: str = "") -> Result:
    store.prepare()
    failures = Runner(store, data.load, [_tell]).run([artifact])
    if failures:
        raise StoreError(f"{artifact.label}: {failures[artifact]}")
    result = store.result(artifact)
    assert result is not None, "the runner has finished it"
    fingerprint = result.protocol["fingerprint"][:FINGERPRINT_DIGITS]
    print(f"{remark}protocol {fingerprint}; stored in {store.folder(artifact)}", file=sys.stderr)
    return result


def _reference(given: str, data: DataSets, config: DataConfig) -> ReferenceConfig:
    """The reference for the features.

    Raises:
        DataError: it cannot be read.
    """
    if given in SPLITS:
        return ReferenceConfig(split=given, content=data.load(given).fingerprint)
    found = open_reference(Path(given), config.image_size)
    return ReferenceConfig(path=str(Path(given).absolute()), content=found.name)


def numbers(result: Result) -> pd.DataFrame:
    """One row per number, with the fingerprint of the protocol."""
    fingerprint = str(result.protocol["fingerprint"])
    lines = table([row.model_dump() | {"protocol": fingerprint} for row in result.rows])
    lines = lines.reindex(columns=dict.fromkeys(["steps", "temperature", *lines.columns]))
    shown = ["steps", "temperature", "quality", "class", "metric", "extractor", "value", "half_width"]
    shown += ["n_images", "protocol"]
    return lines[[name for name in shown if name in lines]]


def _decoding(evaluation: SplitEvaluation) -> str:
    """Decoding settings that the rows lack: `decoded with temperature 0, schedule arccos, soft lookup; `."""
    how = f"temperature {evaluation.temperature:g}, schedule {evaluation.schedule}"
    return f"decoded with {how}, {evaluation.final_lookup} lookup; "


def _setting(options: MeasureOptions, opened: Opened) -> MeasurementSetting:
    """The defaults for a subject and its own decoding, overridden by `--data`, `--steps` and `--set`.

    Raises:
        ConfigError: the options contradict each other, or the image size is unknown.
    """
    chosen = set_and_data(options.overrides, options.data)
    if options.steps is not None:
        if not opened.decoding:
            raise ConfigError("--steps is for tokenizers that decode in steps, and this one does not")
        if "evaluation.steps" in chosen:
            raise ConfigError("--steps and --set evaluation.steps both set the steps; use only one")
        chosen["evaluation.steps"] = options.steps
    side = opened.image_size or chosen.get("data.image_size")
    if side is None:
        if chosen.get("data.source", "fashion-mnist") != "fashion-mnist":
            raise ConfigError("the image size is unknown; set it, e.g. --set data.image_size=256")
        side = FASHION_MNIST_SIDE
    protocol = SplitEvaluation(extractors=_extractors(side), metrics=_metrics(), **opened.decoding)
    values = {"data": DataConfig(image_size=side).model_dump(), "evaluation": protocol.model_dump()}
    setting = MeasurementSetting.build(overlay(values, chosen))
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


def _extractors(image_size: int) -> tuple[ExtractorConfig, ...]:
    """The feature spaces whose weights are available; prints those left out."""
    side = max(size for size in RESOLUTIONS if size <= max(64, image_size))
    found: tuple[ExtractorConfig, ...] = (EfficientNetLite0Config.model_validate({"resolution": side}),)
    try:
        InceptionV3Config().check_weights()
        return (InceptionV3Config(), *found)
    except EvaluationError as error:
        print(f"left out: {error}", file=sys.stderr)
        return found


def _metrics() -> tuple[MetricConfig, ...]:
    """The metrics of reconstructions whose weights are available; prints those left out."""
    found = (*SplitEvaluation.model_fields["metrics"].get_default(), RateConfig())
    try:
        LPIPSConfig().check_weights()
        return (*found, LPIPSConfig())
    except PretrainedError as error:
        print(f"left out: {error}", file=sys.stderr)
        return found


def as_text(rows: pd.DataFrame) -> str:
    """One line per metric and one column per number of steps or quality, over all classes."""
    rows = of_all_classes(rows)
    names: dict[tuple[str, Any], str] = {("", None): "any"}
    columns = pd.Series("any", index=rows.index)
    for coordinate, heading in (("steps", "T={:g}"), ("quality", "q={:g}")):
        if coordinate in rows and rows[coordinate].notna().any():
            names |= {
                (coordinate, value): heading.format(value)
                for value in sorted(rows[coordinate].dropna().unique())
            }
            columns = rows[coordinate].map(heading.format, na_action="ignore").fillna(columns)
    shown = rows["value"].map(_short)
    if "half_width" in rows:
        widths = rows["half_width"].map(lambda width: f" ± {_short(width)}", na_action="ignore")
        shown += widths.fillna("")
    table = rows.assign(at=columns, shown=shown).pivot(
        index=["metric", "extractor"], columns="at", values="shown"
    )
    order = rows.drop_duplicates(["metric", "extractor"]).set_index(["metric", "extractor"]).index
    table = table.reindex(index=order, columns=[name for name in names.values() if name in table])
    text = table.to_string(na_rep="", index_names=False)
    return f"{rows['n_images'].iloc[0]:,} images\n{text}"


def by_class(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per class and one column per metric, at the highest number of steps or quality."""
    places = [name for name in ("steps", "quality") if name in rows and rows[name].notna().any()]
    last = rows[(rows[places] == rows[places].max()).all(axis="columns")] if places else rows
    return class_table(last).map(_short, na_action="ignore").reset_index()


def _short(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.1f}"


def _tell(event: Event) -> None:
    """Print a line at the start and end; a progress bar would hide other output."""
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
