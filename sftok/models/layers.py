"""The pre-norm Vision Transformer block shared by encoder, decoder and generator (Section 4.1).

The arithmetic is that of the authors' release: layer norm with epsilon 1e-5, exact GELU, biases everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Maps queries, keys and values, `[B, h, L, d]` each, to `[B, h, L, d]`."""


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention of `[B, h, L, d]` each, to `[B, h, L, d]`.

    On a CPU in bfloat16 the products are computed explicitly: the backward pass of torch's fused attention
    takes half of a training step there, and its "math" form guards against rows without any key, which costs
    several passes over the scores; here every row has one. `nox -s benchmarks` shows the ratio.
    """
    if query.device.type != "cpu" or query.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(query, key, value)
    heads = query.shape[1]
    query, key, value = (rearrange(each, "b h l d -> (b h) l d") for each in (query, key, value))
    scores = torch.bmm(query * query.shape[-1] ** -0.5, key.transpose(1, 2))
    # Autocast would convert the scores to float32 and back; the kernel sums in float32 either way.
    with torch.autocast("cpu", enabled=False):
        weights = scores.softmax(-1)
    return rearrange(torch.bmm(weights, value), "(b h) l d -> b h l d", h=heads)


def attend_with_dropout(
    query: Tensor, key: Tensor, value: Tensor, rate: float, kept: Tensor | None
) -> Tensor:
    """Softmax attention of `[B, h, L, d]` each, to `[B, h, L, d]`, dropping a share `rate` of its weights.

    Torch's fused attention draws from the global state, so the products are computed explicitly if anything
    is dropped.
    """
    if kept is None:
        return attend(query, key, value)
    weights = (query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)).softmax(-1)
    return drop_out(weights, rate, kept).to(value.dtype) @ value


def drop_out(values: Tensor, rate: float, kept: Tensor | None) -> Tensor:
    """Return `values` where `kept`, scaled to preserve the mean, else 0; everything if `kept` is None.

    Torch's own dropout draws from the global state.
    """
    return values if kept is None else values * kept / (1 - rate)


def draw_kept(shape: Sequence[int], rate: float, noise: torch.Generator | None) -> Tensor | None:
    """Draw booleans of `shape`, each false with probability `rate`; None if everything is kept."""
    if noise is None or rate == 0:
        return None
    return torch.rand(shape, generator=noise, device=noise.device) >= rate


class SelfAttention(nn.Module):
    """Multi-head self-attention of every token with every token.

    Args:
        width: channels D, a multiple of `heads`.
        heads: attention heads h.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor, attend: Attend = attend) -> Tensor:
        """Map tokens `[B, L, D]` to `[B, L, D]`; `attend` replaces plain softmax attention."""
        query, key, value = rearrange(
            self.qkv(tokens), "b l (three h d) -> three b h l d", three=3, h=self.heads
        )
        attended = attend(query, key, value)
        return self.proj(rearrange(attended, "b h l d -> b l (h d)"))


class MLP(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens `[..., D]` to `[..., D]`."""
        return self.fc2(F.gelu(self.fc1(tokens)))


class TransformerBlock(nn.Module):
    """Attention and MLP, each after a layer norm and with a residual connection."""

    def __init__(self, width: int, heads: int, mlp_ratio: int = 4) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = MLP(width, mlp_ratio * width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens `[B, L, D]` to `[B, L, D]`."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


def check_heads(width: int, heads: int) -> None:
    """Reject heads that do not divide the width.

    Raises:
        ValueError: the heads do not divide the width; the message names both.
    """
    if width % heads:
        raise ValueError(f"heads {heads} does not divide width {width}")


def transformer(width: int, depth: int, heads: int) -> nn.Sequential:
    """Build `depth` blocks in sequence."""
    return nn.Sequential(*(TransformerBlock(width, heads) for _ in range(depth)))


def initialize_transformer(module: nn.Module, generator: torch.Generator | None = None) -> None:
    """Draw every weight of a ViT-like module in place, as the release does.

    Linear, convolution and embedding weights are truncated normal with deviation 0.02, biases zero, norms
    the identity; the joint projection of attention is Xavier uniform, as in torch's own attention.
    Parameters that a module owns directly (positions, learned tokens) are normal with deviation
    `D ** -0.5`, where D is their last dimension.

    Args:
        module: the module, which is changed in place.
        generator: source of the draws; None means a new generator with seed 0, so that a model built without
            one is always the same and the global generator never matters.
    """
    generator = generator or torch.Generator().manual_seed(0)
    for child in module.modules():
        if isinstance(child, nn.Linear | nn.Conv2d | nn.Embedding):
            nn.init.trunc_normal_(child.weight, std=0.02, generator=generator)
            if not isinstance(child, nn.Embedding) and child.bias is not None:
                nn.init.zeros_(child.bias)
        elif not isinstance(child, nn.LayerNorm):
            for parameter in child.parameters(recurse=False):
                nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5, generator=generator)
    for child in module.modules():
        if isinstance(child, SelfAttention):
            nn.init.xavier_uniform_(child.qkv.weight, generator=generator)
