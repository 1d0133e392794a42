"""The pre-norm Llama block of autoregressive generators, with 2D rotary positions and a key-value cache.

The arithmetic is that of LlamaGen's release (arXiv 2406.06525), which Open-MAGVIT2 shares: RMS norm with
epsilon 1e-5, SwiGLU, no biases. Positions are those of a class token followed by a grid, row by row.

With the cache, a position is computed from the keys and values of earlier ones instead of from their tokens.
On a CPU in float32 both give the same bits: a product of 16 rows or more rounds each row as any larger
product does, so shorter queries are padded, and a cache has its full length from the start.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from sftok.models.layers import check_heads, draw_kept, drop_out

Kept = tuple[Tensor | None, Tensor | None]
"""Dropout masks of the attention's and the MLP's output; None keeps everything."""

ROWS = 16
"""Minimum number of rows for which a product's bits do not depend on the number of rows. Callers of
`LlamaBlock` pass at least this many positions, over all samples; attention, whose products are per sample,
pads by itself."""

_ANGLE_BASE = 10_000
_HIDDEN_MULTIPLE = 256


def rotary_table(side: int, head_dim: int, device: torch.device | None = None) -> Tensor:
    """Return cosines and sines of every position: float32 `[1 + side^2, head_dim / 2, 2]`.

    The first half of the pairs rotates with the row, the second with the column. The class token in front has
    a cosine of 0, too, so that its query and key vanish: a quirk of the release, which its weights rely on.
    """
    quarter = head_dim // 4
    angles = _ANGLE_BASE ** -(torch.arange(quarter, device=device).float() / quarter)
    turns = torch.outer(torch.arange(side, device=device).float(), angles)
    rows, columns = turns.repeat_interleave(side, 0), turns.repeat(side, 1)
    grid = torch.cat([rows, columns], dim=1)
    return F.pad(torch.stack([grid.cos(), grid.sin()], dim=-1), (0, 0, 0, 0, 1, 0))


def rotate(heads: Tensor, table: Tensor) -> Tensor:
    """Rotate neighboring channels of `[B, h, L, d]` by the rows of a rotary table `[L, d / 2, 2]`."""
    even, odd = rearrange(heads.float(), "b h l (c two) -> two b h l c", two=2)
    cosine, sine = table.unbind(-1)
    turned = torch.stack([even * cosine - odd * sine, odd * cosine + even * sine], dim=-1)
    return turned.flatten(-2).to(heads.dtype)


class KeyValueCache:
    """The keys and values of one block for up to `length` positions."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.entries: Tensor | None = None

    def put(self, start: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store `[B, h, L, d]` each, from position `start` on; returns `[B, h, length, d]` each."""
        if self.entries is None:
            batch, heads, _, channels = key.shape
            self.entries = key.new_zeros(2, batch, heads, self.length, channels)
        self.entries[:, :, :, start : start + key.shape[2]] = torch.stack([key, value])
        return self.entries[0], self.entries[1]


def attend_to_past(query: Tensor, key: Tensor, value: Tensor, start: int = 0) -> Tensor:
    """Softmax attention in which position `start + i` sees keys 0 to `start + i`.

    Maps queries `[B, h, L, d]` with keys and values `[B, h, M, d]` to `[B, h, L, d]`.
    """
    length, on_cpu = query.shape[2], query.device.type == "cpu"
    if not on_cpu and length == key.shape[2]:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)
    if on_cpu and length < ROWS:
        query = F.pad(query, (0, 0, 0, ROWS - length))
    places = torch.arange(query.shape[2], device=query.device).unsqueeze(1) + start
    seen = torch.arange(key.shape[2], device=query.device) <= places
    if not on_cpu:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
    scores = query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)
    with torch.autocast("cpu", enabled=False):
        weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    return (weights @ value)[:, :, :length]


class RMSNorm(nn.Module):
    """Division by the root mean square of the channels, in float32, and a learned scale."""

    def __init__(self, width: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens `[..., D]` to `[..., D]`."""
        wide = tokens.float()
        scaled = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.epsilon)
        return scaled.to(tokens.dtype) * self.weight


class CausalAttention(nn.Module):
    """Multi-head attention of every token to itself and to earlier ones."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.wqkv = nn.Linear(width, 3 * width, bias=False)
        self.wo = nn.Linear(width, width, bias=False)

    def forward(self, tokens: Tensor, table: Tensor, start: int, cache: KeyValueCache | None) -> Tensor:
        """Map tokens `[B, L, D]` to `[B, L, D]`; see `LlamaBlock`."""
        query, key, value = rearrange(
            self.wqkv(tokens), "b l (three h d) -> three b h l d", three=3, h=self.heads
        )
        query, key = rotate(query, table), rotate(key, table)
        if cache is not None:
            key, value = cache.put(start, key, value)
        attended = attend_to_past(query, key, value, start)
        return self.wo(rearrange(attended, "b h l d -> b l (h d)"))


class SwiGLU(nn.Module):
    """Two linear layers with gated hidden channels; width 2/3 of 4D, rounded up to a multiple of 256."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = -(-int(8 * width / 3) // _HIDDEN_MULTIPLE) * _HIDDEN_MULTIPLE
        self.w1 = nn.Linear(width, hidden, bias=False)
        self.w3 = nn.Linear(width, hidden, bias=False)
        self.w2 = nn.Linear(hidden, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens `[..., D]` to `[..., D]`."""
        return self.w2(F.silu(self.w1(tokens)) * self.w3(tokens))


class LlamaBlock(nn.Module):
    """Causal attention and a gated MLP, each after an RMS norm and with a residual connection."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.attention_norm = RMSNorm(width)
        self.attention = CausalAttention(width, heads)
        self.ffn_norm = RMSNorm(width)
        self.feed_forward = SwiGLU(width)

    def draw(self, tokens: Tensor, noise: torch.Generator | None) -> Kept:
        """Draw the dropout masks for tokens `[B, L, D]`."""
        of_attended = draw_kept(tokens.shape, self.dropout, noise)
        return of_attended, draw_kept(tokens.shape, self.dropout, noise)

    def forward(
        self,
        tokens: Tensor,
        table: Tensor,
        kept: Kept = (None, None),
        start: int = 0,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """Map tokens of consecutive positions, `[B, L, D]`, to `[B, L, D]`.

        Args:
            tokens: tokens from position `start` on.
            table: their rows of the rotary table, `[L, d / 2, 2]`.
            kept: from `draw`; by default nothing is dropped.
            start: their first position; 0 without a cache.
            cache: the cache of this block, with all earlier positions.
        """
        attended = self.attention(self.attention_norm(tokens), table, start, cache)
        tokens = tokens + drop_out(attended, self.dropout, kept[0])
        return tokens + drop_out(self.feed_forward(self.ffn_norm(tokens)), self.dropout, kept[1])


def check_rotary(width: int, heads: int) -> None:
    """Reject heads that do not divide the width, or whose channels do not allow 2D rotary positions.

    Raises:
        ValueError: the sizes do not fit; the message names both.
    """
    check_heads(width, heads)
    if width // heads % 4:
        raise ValueError(
            f"heads {heads} of width {width} have {width // heads} channels, and 2D rotary positions need a "
            "multiple of 4"
        )
