"""A user's own Python object: `--tokenizer my_module:build`.

`build()` returns an object with `encode` and `decode`, or with `reconstruct` alone:

```python
def encode(images): ...       # float32 [B, 3, H, W] in [0, 1] -> ids int64 [B, ...], or latents of any shape
def decode(ids): ...          # what encode returned -> images [B, 3, H, W] in [0, 1]
def reconstruct(images): ...  # images -> images of the same shape, in [0, 1]
image_size = 256              # optional: the side of the images that it takes
codebook_size = 4096          # optional: the number of different ids; gives bits per image and codebook usage
def embed(ids): ...           # optional: float [B, K, D] of ids [B, K], for --probe
```

A `torch.nn.Module` is put into evaluation mode and moved to the device; any other object receives CPU
tensors, from one thread at a time, and returns CPU tensors.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import torch
from torch import Tensor, nn

from sftok.data.base import ImageSet
from sftok.data.batches import Batch, to_unit_range
from sftok.evaluation.config import EvaluationConfig
from sftok.evaluation.subjects.base import Opened, Subject, SubjectConfig, SubjectError
from sftok.evaluation.tokenizers import Decoded, Decoding, Reconstructor
from sftok.io.weights import content_hash

SLACK = 1e-3
"""How far rounding may take a value outside [0, 1]."""

PROBED = 4
"""Number of images that a subject reconstructs before anything is measured."""

METHODS = ("encode", "decode", "reconstruct")
PROTOCOL = "give it encode(images) and decode(ids), or reconstruct(images)"


class OwnConfig(SubjectConfig, name="own"):
    """The object that a function of a module returns."""

    location: str
    """`module:function`, or `module:object`."""

    @property
    def label(self) -> str:
        """The location."""
        return self.location

    def open(self) -> Opened:
        """Open the object, with checks of its protocol.

        Raises:
            SubjectError: the module or the object cannot be used.
        """
        module_name, _, name = self.location.partition(":")
        try:
            module = importlib.import_module(module_name)
        except Exception as error:  # foreign code may raise anything
            raise SubjectError(f"{module_name}: cannot be imported ({_reason(error)})") from None
        found = getattr(module, name, None)
        if found is None:
            raise SubjectError(f"{self.location}: {module_name} has no {name!r}; write MODULE:FUNCTION")
        if isinstance(found, type) or not any(hasattr(found, each) for each in METHODS):
            with _explained(self.location):
                found = found()
        own = OwnObject(found, self.location)

        def on(image_set: ImageSet) -> Subject:
            few = to_unit_range(image_set.images(torch.arange(min(PROBED, len(image_set)))))
            measured = OwnTokenizer(own) if own.has_ids(few) else OwnReconstructor(own)
            return Subject(measured=measured, identity=own.identity(module, few))

        return Opened(image_size=own.image_size, on=on)


class OwnObject:
    """A user's object, with every return value checked."""

    def __init__(self, given: Any, name: str) -> None:
        """Check that `given` has the methods of the protocol; `name` identifies it in errors."""
        self.given, self.name = given, name
        self.is_module = isinstance(given, nn.Module)
        if self.is_module:
            given.eval()
        self.lock: AbstractContextManager[Any] = (
            contextlib.nullcontext() if self.is_module else threading.Lock()
        )
        codes = callable(getattr(given, "encode", None)) and callable(getattr(given, "decode", None))
        if not codes and not callable(getattr(given, "reconstruct", None)):
            raise SubjectError(f"{name}: {type(given).__name__} cannot be measured; {PROTOCOL}")
        self.codes = codes
        self.image_size = self._number("image_size", "the side of the images in pixels")
        self.codebook_size = self._number("codebook_size", "the number of different ids")
        self.id_shape = torch.Size()

    def _number(self, name: str, meaning: str) -> int | None:
        found = getattr(self.given, name, None)
        if found is not None and (not isinstance(found, int) or found < 1):
            raise SubjectError(f"{self.name}: {name} = {found!r}; it must be {meaning}")
        return found

    def has_ids(self, images: Tensor) -> bool:
        """Whether it encodes images to discrete ids."""
        return self.codes and not self.encode(images[:1]).is_floating_point()

    def identity(self, module: ModuleType, images: Tensor) -> str:
        """Hash the source, the weights, and reconstructions of a few images, as weights may be anywhere."""
        digest = hashlib.sha256(self.name.encode())
        if (file := getattr(module, "__file__", None)) is not None:
            digest.update(Path(file).read_bytes())
        if self.is_module:
            digest.update(content_hash(self.given.state_dict()).encode())
        digest.update(self.reconstruct(images).cpu().numpy().tobytes())
        return digest.hexdigest()

    def encode(self, images: Tensor) -> Tensor:
        """Encode images to ids, int64 `[B, K]`, or to unchanged latents.

        Raises:
            SubjectError: the object returns anything else.
        """
        found = self._call("encode", images)
        if not isinstance(found, Tensor) or not found.ndim or len(found) != len(images):
            raise SubjectError(
                f"{self.name}: encode returned {_shape(found)} for {len(images)} images; "
                "the first axis must have their number"
            )
        if found.is_floating_point():
            return found
        ids = found.long().flatten(1)
        limit = self.codebook_size
        if ids.numel() and (ids.min() < 0 or (limit is not None and ids.max() >= limit)):
            bound = "they must not be negative" if limit is None else f"outside its codebook_size of {limit}"
            raise SubjectError(f"{self.name}: encode returned ids from {ids.min()} to {ids.max()}, {bound}")
        self.id_shape = found.shape[1:]
        return ids

    def decode(self, ids: Tensor) -> Tensor:
        """Decode the output of `encode` to images in [0, 1].

        Raises:
            SubjectError: the object returns anything else.
        """
        given = ids if ids.is_floating_point() else ids.reshape(len(ids), *self.id_shape)
        return self._images("decode", self._call("decode", given), len(ids))

    def reconstruct(self, images: Tensor) -> Tensor:
        """Reconstruct images, both `[B, 3, H, W]` in [0, 1].

        Raises:
            SubjectError: the object returns anything else.
        """
        if self.codes:
            found = self.decode(self.encode(images))
        else:
            found = self._images("reconstruct", self._call("reconstruct", images), len(images))
        if found.shape != images.shape:
            raise SubjectError(
                f"{self.name}: returned images {list(found.shape)} for {list(images.shape)}; "
                "they must have the size of the originals"
            )
        return found

    def _call(self, method: str, argument: Tensor) -> Any:
        with self.lock, torch.no_grad(), _explained(f"{self.name}: {method}"):
            return getattr(self.given, method)(argument if self.is_module else argument.cpu())

    def _images(self, method: str, found: Any, count: int) -> Tensor:
        what = f"{self.name}: {method}"
        if not isinstance(found, Tensor) or found.ndim != 4 or found.shape[1] != 3:
            raise SubjectError(f"{what} returned {_shape(found)}; it must be images [B, 3, H, W]")
        if len(found) != count:
            raise SubjectError(f"{what} returned {len(found)} images for {count}")
        if not found.is_floating_point():
            raise SubjectError(f"{what} returned {found.dtype} images; they must be float, from 0 to 1")
        if not found.isfinite().all():
            raise SubjectError(f"{what} returned images with NaN or infinite values")
        low, high = found.min().item(), found.max().item()
        if low < -SLACK or high > 1 + SLACK:
            hint = "(images + 1) / 2" if low < -0.2 else "images / 255" if high > 2 else "images.clamp(0, 1)"
            raise SubjectError(
                f"{what} returned values from {low:.3g} to {high:.3g}; return {hint}, in [0, 1]"
            )
        return found.float().clamp(0, 1)


class OwnTokenizer(nn.Module):
    """Adapts an object with ids to the interface of an evaluation."""

    def __init__(self, own: OwnObject) -> None:
        super().__init__()
        self.own = own
        self.codebook_size = own.codebook_size
        if own.is_module:
            self.given = own.given
        if callable(getattr(own.given, "embed", None)):
            self.embed = own.given.embed
        self.anchor = nn.Parameter(torch.empty(0), requires_grad=False)  # knows the device

    def encode(self, images: Tensor) -> Tensor:
        """Encode images to ids `[B, K]`."""
        return self.own.encode(images).to(images.device)

    def decode(self, ids: Tensor) -> Tensor:
        """Decode ids to images in [0, 1]."""
        return self.own.decode(ids).to(ids.device)


class OwnReconstructor(Reconstructor):
    """Adapts an object without ids to the interface of an evaluation."""

    def __init__(self, own: OwnObject) -> None:
        self.own = own

    def to(self, device: torch.device) -> Self:
        """Move a module to `device`."""
        if self.own.is_module:
            self.own.given.to(device)
        return super().to(device)

    def decodings(self, config: EvaluationConfig, subject: str) -> list[Decoding]:
        """Return the only decoding."""
        own = self.own

        def decode(batch: Batch, ids: Tensor | None) -> Decoded:
            if not own.codes:
                return Decoded(images=own.reconstruct(batch.images).to(batch.images.device))
            latents = own.encode(batch.images)
            bits = latents[0].numel() * 8 * latents.element_size()
            images = own.decode(latents).to(batch.images.device)
            return Decoded(images=images, bits=torch.full((len(images),), float(bits), dtype=torch.float64))

        return [Decoding(name=subject, coordinates={}, passes=1, gives_bits=own.codes, decode=decode)]


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Convert any error of foreign code to a one-line message."""
    try:
        yield
    except SubjectError:
        raise
    except Exception as error:
        raise SubjectError(f"{what} failed ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300] or 'no message'}"


def _shape(found: Any) -> str:
    return f"{found.dtype} {list(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
