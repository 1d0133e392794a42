"""The rows of everything but training: decoding, evaluation, input, and a run of the gpu profile."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import small_models
import torch
from gpu_bench import Bench, Counted
from PIL import Image
from small_models import seeded

from sftok.data import AugmentationConfig, DataConfig, load
from sftok.data.base import MemoryImageSet
from sftok.data.batches import training_batches
from sftok.decoding.schedule import DecodingConfig
from sftok.decoding.unmask import iterative_unmask
from sftok.evaluation.config import EvaluationConfig
from sftok.evaluation.reconstruction import evaluate

DECODING = DecodingConfig(steps=8, temperature=0.0)


def decoding(bench: Bench) -> Iterator[dict]:
    """Eight steps of decoding and the pixel decoder."""
    tokenizer = bench.tokenizer("sftok-b").eval().requires_grad_(False)
    shape = (bench.batch_size, tokenizer.num_tokens)
    ids = torch.randint(tokenizer.codebook_size, shape, generator=seeded()).to(bench.device)

    noise = torch.Generator(bench.device)  # unused at temperature 0

    @torch.no_grad()
    def decode() -> torch.Tensor:
        quantized = tokenizer.quantizer.lookup(ids)
        with torch.autocast(bench.device.type, torch.bfloat16, cache_enabled=False):
            unmasked = iterative_unmask(
                lambda codes, step: tokenizer.decoder(codes, quantized),
                len(ids),
                tokenizer.decoder.num_codes,
                tokenizer.decoder.mask_id,
                DECODING,
                noise,
            )
        return tokenizer.pixel_decoder.decode_codes(unmasked.ids)

    with Counted() as counted:
        decode()
    operations, item = counted.operations, "decoding in 8 steps, sftok-b"
    yield bench.row(item, "eager", len(ids), bench.seconds(decode), operations)
    if bench.device.type == "cuda":
        graph = torch.cuda.CUDAGraph()  # what it needs is loaded: decoding has run before
        with torch.cuda.graph(graph):
            decode()
        yield bench.row(item, "CUDA graph", len(ids), bench.seconds(graph.replay), operations)
        del graph
    if not bench.tiny:
        tokenizer.decoder.compile(dynamic=False)
        yield bench.row(item, "compiled", len(ids), bench.seconds(decode), operations)
    tokenizer.pixel_decoder.to(memory_format=torch.channels_last)
    variant = "pixel decoder channels last" if bench.tiny else "compiled, pixel decoder channels last"
    yield bench.row(item, variant, len(ids), bench.seconds(decode), operations)


def evaluation(bench: Bench) -> Iterator[dict]:
    """Encoding, decoding in 8 steps, features and metrics of 5,000 images."""
    count = 40 if bench.tiny else 5000
    tokenizer = bench.tokenizer("sftok-b").eval()
    shown: MemoryImageSet = small_models.image_set(count, tokenizer.image_size)
    config = EvaluationConfig(
        steps=(8,), extractors=("efficientnet-lite0",), precision="bf16", batch_size=100
    )
    extractors, row = [each.build(bench.device) for each in config.extractors], {}
    with tempfile.TemporaryDirectory() as cache, bench.peak(row):
        started = time.perf_counter()
        evaluate(tokenizer, shown, config, extractors, Path(cache))
        seconds = time.perf_counter() - started
    yield bench.row(f"evaluation of {count} images", "sftok-b, T=8, bf16", count, seconds, **row)


def write_images(folder: Path, count: int, side: int) -> None:
    """JPEG files of two classes, in train/ and val/."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 24, 24, 3), dtype=np.uint8)
    for number, pixels in enumerate(coarse):
        path = folder / ("val" if number % 4 == 0 else "train") / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((side * 5 // 4, side), Image.Resampling.BICUBIC).save(path)


def pipeline(bench: Bench) -> Iterator[dict]:
    """Reading, decoding and augmenting JPEG files, with nothing to feed."""
    size, count = (32, 80) if bench.tiny else (256, 1200)
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), count, size * 3 // 2)
        images = load(DataConfig(source="folder", path=folder, image_size=size), "train")
        views = AugmentationConfig(random_crop=True, flip=True)
        stream = training_batches(images, bench.batch_size, 0, augmentation=views)
        seconds = bench.seconds(lambda: next(stream))
        stream.close()  # type: ignore[attr-defined]
    yield bench.row(f"JPEG files at {size} pixels", f"{images.threads} threads", bench.batch_size, seconds)


def profile(bench: Bench) -> Iterator[dict]:
    """`table4` of the gpu profile (when tiny, of smoke) for 300 steps, through the command line."""
    steps, name = (10, "smoke") if bench.tiny else (300, "gpu")
    with tempfile.TemporaryDirectory() as place:
        store, data = Path(place) / "runs", Path(place) / "images"
        chosen = {"device": bench.device.type, "tokenizer_steps": steps, "stage1.steps": steps // 5}
        chosen |= {"teacher.steps": steps}
        if not bench.tiny:
            write_images(data, 6000, 80)
            chosen |= {"data.validation_images": 500, "evaluation.primary_extractor": "efficientnet-lite0"}
            chosen |= {"evaluation.extractors": '["efficientnet-lite0"]'}
        options = ["--profile", name, "--store", str(store), "--yes"] + (
            [] if bench.tiny else ["--data", str(data)]
        )
        sets = [part for key, value in chosen.items() for part in ("--set", f"{key}={value}")]
        line = [sys.executable, "-m", "experiments", "run", "table4", *options, *sets]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            yield {"item": f"table4 at {name}", "variant": "", "note": (done.stderr or done.stdout)[-300:]}
            return
        for path in sorted((store / "artifacts").glob("*/result.json")):
            result = json.loads(path.read_text())
            made, asked = result["provenance"], request(store, path.parent.name)
            yield {
                "item": f"table4 at {name}",
                "variant": asked["label"],
                "images_per_second": result.get("images_per_second"),
                "milliseconds": 1000 * made["seconds"] / made["units"],
                "stage": asked["stage"],
            }


def request(store: Path, artifact: str) -> dict[str, Any]:
    """What was asked for under the name of an artifact."""
    requests = [json.loads(path.read_text()) for path in (store / "requests").glob("*.json")]
    return next(each for asked in requests for each in asked["artifacts"] if each["name"] == artifact)
