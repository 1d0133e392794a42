"""Data-parallel training: what each process must know about the others.

Every process holds the whole model and a share of each batch: rows `rank * n` to `(rank + 1) * n` of the
batch that a single process would have. A mean, a draw or an assignment over the batch always covers the whole
batch, and gradients are averaged. The number of processes therefore changes the speed but no result, except
for rounding and the generator's dropout, which each process draws for its own share. A `World` is passed to
every function that needs it; the default everywhere is `SINGLE`.
"""

from sftok.distributed.launch import joined
from sftok.distributed.world import SINGLE, World, WorldBroken

__all__ = ["SINGLE", "World", "WorldBroken", "joined"]
