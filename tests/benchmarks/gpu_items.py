"""What tests/benchmarks/gpu.py measures: each function yields rows of its table."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import small_models
import torch
from PIL import Image
from small_models import seeded
from small_training import fine_tuning_stage
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sftok.data import AugmentationConfig, DataConfig, load
from sftok.data.base import MemoryImageSet
from sftok.data.batches import Batch, training_batches
from sftok.data.tokens import TokensOnTheFly
from sftok.decoding.schedule import DecodingConfig
from sftok.decoding.unmask import iterative_unmask
from sftok.evaluation.config import EvaluationConfig
from sftok.evaluation.reconstruction import evaluate
from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.tokenizers.sftok import SIZES, SFTok
from sftok.training.compiling import CompileMode
from sftok.training.loop import TrainingConfig, train
from sftok.training.measure import Enough, Stopwatch, stage_of
from sftok.training.precision import autocast
from sftok.training.stages.base import Stage, Step

DECODING = DecodingConfig(steps=8, temperature=0.0)


@dataclass
class Bench:
    """Where and at what size to measure."""

    device: torch.device
    tiny: bool
    rates: dict[str, float] = field(default_factory=dict)
    """Operations per second of a large matrix product, by number format."""

    @property
    def batch_size(self) -> int:
        return 8 if self.tiny else 32

    @property
    def steps(self) -> int:
        return 3 if self.tiny else 25

    def tokenizer(self, size: str) -> SFTok:
        config = small_models.sftok_config() if self.tiny else SIZES[size]
        return SFTok.from_config(config).to(self.device)

    def batch(self, side: int) -> Batch:
        images = torch.rand(self.batch_size, 3, side, side, generator=seeded())
        return Batch(images, torch.zeros(len(images)).long(), torch.arange(len(images)))

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, run: Callable[[], object]) -> float:
        """The median time of `run`, after two calls that load and make kernels."""
        run(), run()
        times = []
        for _ in range(self.steps):
            self.synchronize()
            started = time.perf_counter()
            run()
            self.synchronize()
            times.append(time.perf_counter() - started)
        return float(np.median(times))

    @contextlib.contextmanager
    def peak(self, row: dict[str, Any]) -> Iterator[None]:
        """Note the most memory that tensors take meanwhile."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        yield
        if self.device.type == "cuda":
            row["peak_gib"] = torch.cuda.max_memory_allocated(self.device) / 2**30

    def row(
        self, item: str, variant: str, images: int, seconds: float, flops: float = 0, **more: Any
    ) -> dict:
        """A line: the speed, and the least time in which the card could do the counted operations."""
        floor = flops / self.rates["bf16"] if flops else None
        return {
            "item": item,
            "variant": variant,
            "images_per_second": images / seconds,
            "milliseconds": 1000 * seconds,
            "floor_milliseconds": None if floor is None else 1000 * floor,
            "share_of_floor": None if floor is None else floor / seconds,
            **more,
        }


def matrix_rates(bench: Bench) -> Iterator[dict]:
    """What the card reaches on one large product: the floor of everything else."""
    size = 256 if bench.tiny else 8192
    for name, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16), ("tf32", torch.float32)):
        left, right = (torch.randn(size, size, device=bench.device, dtype=dtype) for _ in range(2))
        seconds = bench.seconds(functools.partial(torch.mm, left, right))
        bench.rates[name] = 2 * size**3 / seconds
        yield {"item": f"product of {size}", "variant": name, "tflops": bench.rates[name] / 1e12}


def trained(bench: Bench, stage: Stage, batch: Batch, compile: CompileMode = "none") -> tuple[float, dict]:
    """Seconds of a step within the training loop, and the peak of its memory."""
    training = TrainingConfig(batch_size=len(batch.indices), precision="bf16", log_every=10)
    stopwatch, row = Stopwatch(bench.steps + 2), {}
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Enough), bench.peak(row):
        where = {"folder": Path(folder), "device": bench.device, "compile": compile}
        steps = stopwatch.steps + 1
        train(
            stage, lambda first: itertools.repeat(batch), steps, training, seed=0, monitor=stopwatch, **where
        )
    return float(np.median(np.diff(np.array(stopwatch.ends)[:, 0])[2:])), row


def step_flops(stage: Stage, batch: Batch, device: torch.device) -> float:
    """Operations of a step, counted while it runs."""
    stage.to(device).train()
    step = Step(0, batch.to(device), seeded())
    with FlopCounterMode(display=False) as counter:
        for optimizer in stage.optimizers():
            with autocast("bf16", device):
                loss = stage.losses(optimizer, step)["loss"]
            loss.backward()
    stage.zero_grad(set_to_none=True)
    return float(counter.get_total_flops())


def stage_2(bench: Bench, size: str) -> Iterator[dict]:
    """The training step: as it is, compiled, and with the teacher at every step."""
    item = f"stage 2, {size}"
    tokenizer = bench.tokenizer(size)
    batch = bench.batch(tokenizer.image_size)
    shape = (len(batch.indices), tokenizer.decoder.num_codes)
    codes = torch.randint(tokenizer.decoder.vocabulary, shape, generator=seeded()).to(bench.device)
    flops = step_flops(stage_of(2, tokenizer, lambda _: codes), batch, bench.device)

    def measured(variant: str, stage: Stage, count: float, **options: Any) -> dict:
        seconds, memory = trained(bench, stage, batch, **options)
        return bench.row(item, variant, len(batch.indices), seconds, count, **memory)

    yield measured("eager", stage_of(2, tokenizer, lambda _: codes), flops)
    backends = {
        "flash": SDPBackend.FLASH_ATTENTION,
        "cudnn": SDPBackend.CUDNN_ATTENTION,
        "efficient": SDPBackend.EFFICIENT_ATTENTION,
        "math": SDPBackend.MATH,
    }
    for name, backend in backends.items() if size == "sftok-b" and bench.device.type == "cuda" else ():
        with sdpa_kernel(backend):
            try:
                yield measured(f"{name} attention", stage_of(2, tokenizer, lambda _: codes), flops)
            except RuntimeError as error:
                yield {"item": item, "variant": f"{name} attention", "note": str(error).splitlines()[0][:90]}
    teacher = MaskGITVQGAN(tokenizer.pixel_decoder.config, tokenizer.image_size).to(bench.device).eval()
    with FlopCounterMode(display=False) as counter:
        teacher.encode(batch.images.to(bench.device))
    both = flops + counter.get_total_flops()
    for layout in ("", ", channels last"):
        if layout:
            teacher.to(memory_format=torch.channels_last)
        stage = stage_of(2, tokenizer, TokensOnTheFly(teacher))
        yield measured(f"eager, with the teacher{layout}", stage, both)
    if not bench.tiny:
        yield measured("compiled", stage_of(2, tokenizer, lambda _: codes), flops, compile="default")


def optimizers(bench: Bench) -> Iterator[dict]:
    """AdamW over SFTok-B alone."""
    model = bench.tokenizer("sftok-b").decoder
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for variant in ("fused", "foreach"):
        optimizer = torch.optim.AdamW(model.parameters(), **{variant: True})
        yield bench.row("AdamW, decoder", variant, 1, bench.seconds(optimizer.step))


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

    with FlopCounterMode(display=False) as counter:
        decode()
    flops, item = counter.get_total_flops(), "decoding in 8 steps, sftok-b"
    yield bench.row(item, "eager", len(ids), bench.seconds(decode), flops)
    if bench.device.type == "cuda":
        graph = torch.cuda.CUDAGraph()  # what it needs is loaded: decoding has run before
        with torch.cuda.graph(graph):
            decode()
        yield bench.row(item, "CUDA graph", len(ids), bench.seconds(graph.replay), flops)
        del graph
    if not bench.tiny:
        tokenizer.decoder.compile(dynamic=False)
        yield bench.row(item, "compiled", len(ids), bench.seconds(decode), flops)


def stage_3(bench: Bench) -> Iterator[dict]:
    """Fine-tuning against networks with random weights."""
    tokenizer = bench.tokenizer("sftok-b")
    batch = bench.batch(tokenizer.image_size)

    def stage() -> Stage:
        if bench.tiny:
            return fine_tuning_stage(discriminator_start=0)[1]
        return stage_of(3, tokenizer, lambda _: torch.empty(0))

    flops = step_flops(stage(), batch, bench.device)
    seconds, memory = trained(bench, stage(), batch)
    yield bench.row("stage 3, sftok-b", "eager", len(batch.indices), seconds, flops, **memory)


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
