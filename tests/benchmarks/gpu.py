"""Speed and memory on a GPU: one table, and the same as JSON.

    nox -s gpu_benchmark                         on a GPU, within 8 minutes
    nox -s gpu_benchmark -- --device cpu --tiny  shows on any machine, within a minute, that it runs

Each time stands beside its arithmetic floor: the operations of products, convolutions and attention, at the
rate that the card reaches on one large product of matrices in the same number format. `seconds_per_step` in
the JSON are the costs of the gpu profile: as `experiments/profiles/gpu.benchmark.json` they tell
`run --dry-run` how long a run will take.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).parents[1] / folder) for folder in (".", "training")]

import gpu_items  # noqa: E402
import gpu_training  # noqa: E402
from gpu_bench import Bench, matrix_rates  # noqa: E402

from sftok.device import describe_device, open_device  # noqa: E402

ITEMS: dict[str, Callable[[Bench], Iterator[dict]]] = {
    "matrix": matrix_rates,
    "stage-2-b": partial(gpu_training.stage_2, size="sftok-b"),
    "decoding": gpu_items.decoding,
    "stage-3": gpu_training.stage_3,
    "evaluation": gpu_items.evaluation,
    "input": gpu_items.pipeline,
    "profile": gpu_items.profile,
    "optimizer": gpu_training.optimizers,
    "stage-2-l": partial(gpu_training.stage_2, size="sftok-l"),
    "max-autotune": gpu_training.max_autotune,
}
"""In the order of what matters if time runs out."""

COLUMNS = {
    "images_per_second": "images/s",
    "milliseconds": "ms",
    "floor_milliseconds": "floor ms",
    "share_of_floor": "floor/time",
    "peak_gib": "peak GiB",
    "tflops": "TFLOP/s",
}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description="Speed and memory on a GPU.")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="the smallest models: the numbers mean nothing")
    parser.add_argument("--only", nargs="+", choices=ITEMS, default=list(ITEMS), help="some of the items")
    parser.add_argument("--minutes", type=float, default=8.0, help="start no item after as many minutes")
    parser.add_argument("--output", type=Path, default=Path("gpu_benchmark.json"))
    options = parser.parse_args()
    bench = Bench(open_device(options.device), options.tiny)
    about = {"device": describe_device(options.device), "torch": torch.__version__, "tiny": options.tiny}
    print(" ".join(f"{name}={value}" for name, value in about.items()), flush=True)
    print(line("item", "variant", *COLUMNS.values()), flush=True)
    rows, started = [], time.monotonic()
    for name in dict.fromkeys(["matrix", *options.only]):
        for row in measured(name, bench, (time.monotonic() - started) / 60 > options.minutes):
            rows.append(row)
            print(shown(row), flush=True)
    written = about | {"rows": rows, "seconds_per_step": seconds_per_step(rows)}
    options.output.write_text(json.dumps(written, indent=1) + "\n")
    print(f"{time.monotonic() - started:.0f} s; written to {options.output}")


def measured(name: str, bench: Bench, late: bool) -> Iterator[dict]:
    """The rows of an item; one that fails is a row that says why."""
    if late:
        yield {"item": name, "variant": "", "note": "left out: no time"}
        return
    try:
        yield from ITEMS[name](bench)
    except (RuntimeError, OSError, ValueError) as error:
        yield {"item": name, "variant": "", "note": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
    torch._dynamo.reset()
    gc.collect()
    if bench.device.type == "cuda":
        torch.cuda.empty_cache()


def seconds_per_step(rows: list[dict]) -> dict[str, float]:
    """The longest time of a unit of each stage of the profile's run."""
    found: dict[str, float] = {}
    for row in rows:
        if "stage" in row:
            found[row["stage"]] = max(found.get(row["stage"], 0.0), row["milliseconds"] / 1000)
    return found


def shown(row: dict) -> str:
    """A row as a line of the table."""
    numbers = ["" if row.get(key) is None else f"{row[key]:.4g}" for key in COLUMNS]
    return line(row["item"], row["variant"], *numbers) + (f"  {row['note']}" if "note" in row else "")


def line(item: str, variant: str, *numbers: str) -> str:
    return f"{item:30} {variant:40}" + "".join(f"{number:>11}" for number in numbers)


if __name__ == "__main__":
    main()
