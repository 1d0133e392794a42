"""Numbers made with the authors' public code, in float32 on a CPU, at tiny sizes."""

from __future__ import annotations

from pathlib import Path

from einops import rearrange
from safetensors.torch import load_file
from torch import Tensor

FOLDER = Path(__file__).parent / "data" / "reference" / "quantizers"

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}


def numbers(system: str) -> dict[str, Tensor]:
    """Inputs (`in.`), weights and outputs (`out.`) of a system."""
    return load_file(FOLDER / f"{system}.safetensors")


def sequence(grid: Tensor) -> Tensor:
    """A grid `[B, D, H, W]` as latents `[B, N, D]`, row by row."""
    return rearrange(grid, "b d h w -> b (h w) d")
