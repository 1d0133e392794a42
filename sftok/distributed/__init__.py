"""Data parallel training: what one of several processes must know about the others.

Every process holds the whole model and a share of each batch: rows `rank * n` to `(rank + 1) * n` of the
batch that a single process would have. A mean, a draw or an assignment over the batch is always one over the
whole batch, and gradients are averaged. So the number of processes changes the speed and, except for rounding
(and the generator's dropout, which each process draws for its own share), no number. A `World` is passed to
whoever needs it; the default everywhere is `SINGLE`.
"""

from sftok.distributed.launch import joined
from sftok.distributed.world import SINGLE, World, WorldBroken

__all__ = ["SINGLE", "World", "WorldBroken", "joined"]
