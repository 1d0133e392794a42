"""The interface of quantizers: they map latents to ids and straight-through vectors."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from sftok.components import Component
from sftok.config import ConfigError
from sftok.distributed import SINGLE, World


@dataclass(frozen=True)
class Quantized:
    """The result of one quantization.

    Attributes:
        ids: int64 `[B, K]`.
        quantized: `[B, N, Dq]`; its value is the chosen code, its gradient goes to the latents.
        loss: scalar, the sum of all losses that train the quantizer.
        commitment_loss: scalar that pulls latents to their codes, already times the commitment cost.
        codebook_loss: scalar that pulls codes to their latents, already times the codebook cost (0 if no
            gradient trains the codes).
    """

    ids: Tensor
    quantized: Tensor
    loss: Tensor
    commitment_loss: Tensor
    codebook_loss: Tensor


class Quantizer(Protocol):
    """A codebook with an assignment; `forward` may assign differently in training mode, `assign` never does.

    Ids are flat: K is N, the number of latents, unless a latent has several ids or a scale has its own
    (`QuantizerConfig.ids_per_image`).
    """

    training: bool

    @property
    def codebook_size(self) -> int:
        """Number of codes."""

    def __call__(
        self, latents: Tensor, generator: torch.Generator | None = None, world: World = SINGLE
    ) -> Quantized:
        """Quantize latents `[B, N, Dq]`.

        `generator` is the source of a quantizer's draws; `world` is used by quantizers that depend on the
        whole batch, which several processes may share.
        """

    def assign(self, latents: Tensor) -> Tensor:
        """Return the ids of latents, `[B, N, Dq]` to int64 `[B, K]`; images do not interact."""

    def lookup(self, ids: Tensor) -> Tensor:
        """Return the quantized latents of ids: int64 `[B, K]` to `[B, N, Dq]`."""


class QuantizerConfig(Component, family="quantizer", package="sftok.quantizers"):
    """How latents become ids. Each member has `codebook_size`, as a field or as a property."""

    zero_is_a_code: ClassVar[bool] = False
    """Whether the zero vector can be a code; tail drop uses it to mark missing tokens."""
    continuous: ClassVar[bool] = False
    """Whether latents are kept unchanged and take the place of ids."""

    if TYPE_CHECKING:  # a property here would shadow the field of a member

        @property
        def codebook_size(self) -> int:
            """Number of codes."""

    @property
    def follows_batches(self) -> bool:
        """Whether every training batch changes its state, so that each update must be a single batch."""
        return False

    def ids_per_image(self, num_latents: int) -> int:
        """Return the number of ids, K, for `num_latents` latents; it is larger with depth or chunks."""
        return num_latents

    def encoder_dim(self, token_dim: int) -> int:
        """Return the encoder's output channels for a latent of `token_dim` channels."""
        return token_dim

    def check(self, token_dim: int, num_latents: int) -> None:
        """Reject latents that do not suit the codebook.

        Raises:
            ValueError: `num_latents` latents of `token_dim` channels do not fit.
        """

    @abstractmethod
    def build(self, token_dim: int, generator: torch.Generator | None = None) -> Quantizer:
        """Build a quantizer of `token_dim` channels, with weights from `generator` (None: seed 0).

        A model is saved together with its quantizer's `config`, which is this configuration.
        """


def config_of(quantizer: Quantizer) -> QuantizerConfig:
    """Return the configuration from which a quantizer was built and which is saved with a model.

    Raises:
        ConfigError: the quantizer has no `config`.
    """
    config = getattr(quantizer, "config", None)
    if not isinstance(config, QuantizerConfig):
        raise ConfigError(
            f"{type(quantizer).__name__} cannot be saved: its `config` is not the quantizer's configuration"
        )
    return config


def check_ids(ids: Tensor, num_tokens: int, codebook_size: int) -> None:
    """Reject ids that no encoder produces: too few would be broadcast, negative ones count from the end.

    Raises:
        ValueError: the ids are not `[B, K]`, or out of range.
    """
    if ids.ndim != 2 or ids.shape[1] != num_tokens:
        raise ValueError(f"ids of shape {list(ids.shape)}: this tokenizer has {num_tokens} for each image")
    if ids.numel() and (ids.min() < 0 or ids.max() >= codebook_size):
        raise ValueError(f"ids from {ids.min()} to {ids.max()}: this codebook has 0 to {codebook_size - 1}")


def commit(
    latents: Tensor, codes: Tensor, ids: Tensor, commitment_cost: float, codebook_cost: float = 1.0
) -> Quantized:
    """Compute losses and straight-through estimates for latents and their chosen codes.

    Both losses are mean squared errors over every element (VQ-VAE); the estimator copies the gradient of
    the codes to the latents.

    Args:
        latents: `[..., D]`, in the form that was compared with the codes (normalized if the codes are).
        codes: `[..., D]`, differentiable with respect to the codebook.
        ids: int64, returned unchanged.
        commitment_cost: weight of the commitment loss.
        codebook_cost: weight of the codebook loss.
    """
    commitment_loss = commitment_cost * F.mse_loss(latents, codes.detach())
    codebook_loss = codebook_cost * F.mse_loss(codes, latents.detach())
    return Quantized(
        ids=ids,
        quantized=straight_through(latents, codes),
        loss=commitment_loss + codebook_loss,
        commitment_loss=commitment_loss,
        codebook_loss=codebook_loss,
    )


def kept(latents: Tensor, loss: Tensor) -> Quantized:
    """Return the result for latents `[B, N, D]` that are not quantized; ids are `[B, 0]`."""
    none = torch.empty(len(latents), 0, dtype=torch.int64, device=latents.device)
    zero = torch.zeros_like(loss)
    return Quantized(ids=none, quantized=latents, loss=loss, commitment_loss=zero, codebook_loss=zero)


def straight_through(latents: Tensor, codes: Tensor) -> Tensor:
    """Return the value of `codes` with the gradient of `latents`."""
    return latents + (codes - latents).detach()


@torch.no_grad()
def squared_distances(latents: Tensor, codebook: Tensor) -> Tensor:
    """Squared Euclidean distances of `[n, D]` to `[V, D]`: float32 `[n, V]`, even under autocast.

    TF32 is never used: its ten bits are too few for a difference of large products.
    """
    with torch.autocast(latents.device.type, enabled=False), without_tf32(latents.device):
        latents, codebook = latents.float(), codebook.float()
        lengths = latents.square().sum(1, keepdim=True) + codebook.square().sum(1)
        return torch.addmm(lengths, latents, codebook.t(), alpha=-2)


@contextlib.contextmanager
def without_tf32(device: torch.device) -> Iterator[None]:
    """Compute matrix products and convolutions in full float32 precision on `device`."""
    if device.type != "cuda":
        yield
        return
    libraries: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    allowed = [library.allow_tf32 for library in libraries]
    for library in libraries:
        library.allow_tf32 = False
    try:
        yield
    finally:
        for library, before in zip(libraries, allowed, strict=True):
            library.allow_tf32 = before


@torch.no_grad()
def nearest(latents: Tensor, codebook: Tensor) -> Tensor:
    """Return the index of the nearest code (Euclidean): `[..., D]` and `[V, D]` to int64 `[...]`."""
    return squared_distances(latents.flatten(0, -2), codebook).argmin(1).view(latents.shape[:-1])
