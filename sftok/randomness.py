"""Sources of random draws: a seed and a purpose (such as a step), never the global state.

Because a generator is a function of `(seed, purpose, step)`, resuming is exact without storing its state.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import torch


def derived_seed(seed: int, *parts: object) -> int:
    """A 63-bit seed that depends only on `seed` and `parts`."""
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *parts: object, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for one purpose: `generator(seed, "mask", step)`."""
    return torch.Generator(device=device).manual_seed(derived_seed(seed, *parts))


@contextlib.contextmanager
def seeded_initialization(seed: int) -> Iterator[None]:
    """Layers built inside draw their initial weights from `seed`; the global state is restored afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "initialisation"))
        yield


@contextlib.contextmanager
def initialization_from(source: torch.Generator | None) -> Iterator[None]:
    """Like `seeded_initialization`, with a seed drawn from `source` (None: seed 0).

    For layers of a library that draws from the global state.
    """
    source = source or torch.Generator().manual_seed(0)
    seed = torch.randint(2**63 - 1, (), generator=source, device=source.device)
    with seeded_initialization(int(seed)):
        yield
