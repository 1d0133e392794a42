"""OptVQ: assignment by optimal transport, so that the whole codebook is used (Section 4.1, reference [46]).

In training, the latents of a batch are assigned by Sinkhorn's algorithm, which gives each code an equal
share; in evaluation, each latent takes its nearest code, so an image's ids never depend on its batch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn

from sftok.distributed import SINGLE, World
from sftok.quantizers.base import Quantized, QuantizerConfig, commit, nearest, squared_distances


class OptVQConfig(QuantizerConfig, name="optvq"):
    """A codebook of `codebook_size` codes; the defaults are the paper's (Table 6) and the release's."""

    codebook_size: int = Field(default=8192, ge=2)
    commitment_cost: float = Field(default=0.25, ge=0)
    use_l2_norm: bool = True
    sinkhorn_epsilon: float = Field(default=10.0, gt=0)
    sinkhorn_iterations: int = Field(default=5, ge=1)

    def build(self, token_dim: int, generator: torch.Generator | None = None) -> OptVQ:
        """Build a quantizer of `token_dim` channels, with weights from `generator` (None: seed 0)."""
        return OptVQ(self, token_dim, generator)


@torch.no_grad()
def sinkhorn(distances: Tensor, epsilon: float = 10.0, iterations: int = 5, world: World = SINGLE) -> Tensor:
    """Compute the transport plan that spreads n latents evenly over V codes.

    `exp(-epsilon * distances)` is normalized over latents (every code receives the same mass), then over
    codes (every latent gives its whole mass), `iterations` times. This runs in float32 and in the log domain,
    where no distance is too large; the release's shift by the smallest distance cancels there.

    Args:
        distances: finite `[n, V]`, on a scale that suits `epsilon`.
        epsilon: inverse temperature; larger values are closer to the hard assignment.
        iterations: number of rounds of both normalizations.
        world: the processes that share the latents; codes are spread over all of them.

    Returns:
        float32 `[n, V]`; each row sums to 1, each column (over all processes) to about n / V.
    """
    with torch.autocast(distances.device.type, enabled=False):
        scores = -epsilon * (distances.float() - world.gather(distances.min()[None]).min())
        for _ in range(iterations):
            scores = _log_softmax_over_latents(scores, world).log_softmax(1)
        return scores.exp()


def _log_softmax_over_latents(scores: Tensor, world: World) -> Tensor:
    if world.size == 1:
        return scores.log_softmax(0)
    # Processes exchange a code's sum over their latents, V numbers, instead of the n latents.
    totals = world.gather(scores.logsumexp(0, keepdim=True))
    return scores - totals.logsumexp(0)


class OptVQ(nn.Module):
    """A codebook passed through a linear map that all codes share (SimVQ).

    The map moves every code at each step, even those that no latent chose. As in the release, codes start
    uniform in [-1/V, 1/V] and the map as the identity.
    """

    def __init__(self, config: OptVQConfig, token_dim: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(torch.empty(config.codebook_size, token_dim))
        self.shared_linear = nn.Linear(token_dim, token_dim)
        generator = generator or torch.Generator().manual_seed(0)
        bound = 1 / config.codebook_size
        nn.init.uniform_(self.embedding, -bound, bound, generator=generator)
        nn.init.eye_(self.shared_linear.weight)
        nn.init.zeros_(self.shared_linear.bias)

    @property
    def codebook_size(self) -> int:
        """Number of codes."""
        return self.config.codebook_size

    def codebook(self) -> Tensor:
        """Return all codes, `[V, Dq]`, in the form that latents are compared with."""
        return self._scale(self.shared_linear(self.embedding))

    def forward(
        self, latents: Tensor, generator: torch.Generator | None = None, world: World = SINGLE
    ) -> Quantized:
        """Quantize latents `[B, K, Dq]`: Sinkhorn in training mode, nearest otherwise. Nothing is drawn."""
        with torch.autocast(latents.device.type, enabled=False):
            points, codebook = self._scale(latents.float()), self.codebook()
            ids = self._transport(points, codebook, world) if self.training else nearest(points, codebook)
            return commit(points, codebook[ids], ids, self.config.commitment_cost)

    def assign(self, latents: Tensor) -> Tensor:
        """Return the nearest code of each latent: `[B, K, Dq]` to int64 `[B, K]`."""
        with torch.no_grad(), torch.autocast(latents.device.type, enabled=False):
            return nearest(self._scale(latents.float()), self.codebook())

    def lookup(self, ids: Tensor) -> Tensor:
        """Return the code of each id: int64 `[B, K]` to float32 `[B, K, Dq]`."""
        with torch.autocast(ids.device.type, enabled=False):
            return self.codebook()[ids]

    def _scale(self, vectors: Tensor) -> Tensor:
        return F.normalize(vectors, dim=-1) if self.config.use_l2_norm else vectors

    def _transport(self, points: Tensor, codebook: Tensor, world: World) -> Tensor:
        # Euclidean, not squared: epsilon is calibrated for it in the release.
        squared = squared_distances(rearrange(points, "b k d -> (b k) d"), codebook)
        plan = sinkhorn(
            squared.clamp_min(0).sqrt(),
            self.config.sinkhorn_epsilon,
            self.config.sinkhorn_iterations,
            world,
        )
        return plan.argmax(1).view(points.shape[:2])
