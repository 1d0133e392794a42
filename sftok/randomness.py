"""Where every random draw comes from: a seed and a purpose (such as a step), never a global state.

A generator that is a function of `(seed, purpose, step)` makes resuming exact without storing its state.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import torch


def derived_seed(seed: int, *parts: object) -> int:
    """A 63-bit seed that depends on `seed` and `parts` alone."""
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *parts: object, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for one purpose: `generator(seed, "mask", step)`."""
    return torch.Generator(device=device).manual_seed(derived_seed(seed, *parts))


@contextlib.contextmanager
def seeded_initialisation(seed: int) -> Iterator[None]:
    """Layers built inside draw their first weights from `seed`; the global state is put back after."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "initialisation"))
        yield
