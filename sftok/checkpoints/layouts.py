"""Identifies the model in a file: our own files name it, released ones are recognized by their tensors."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from torch import Tensor

from sftok.checkpoints import released
from sftok.checkpoints.checkpoint import Checkpoint, CheckpointError
from sftok.checkpoints.files import WeightFile
from sftok.checkpoints.renaming import Record, ReleasedWeightsError, Rule, Tensors, rename

WRAPPERS = ("module.", "_orig_mod.", "model.")
"""Prefixes that DistributedDataParallel, torch.compile and training frameworks add to every name."""

FIRST_STAGE = "first_stage_model."
"""The prefix of the tokenizer's tensors in the file of a latent-diffusion generator."""
DIFFUSION = (
    "model.diffusion_model.",
    "model_ema.",
    "cond_stage_model.",
    *("betas", "alphas_cumprod", "sqrt_", "log_one_minus_", "posterior_", "logvar", "scale_factor"),
)
"""Prefixes of the other tensors in such a file: networks, and constants of the noise schedule."""


@dataclass(frozen=True)
class Layout:
    """The layout of a released system's weights.

    Attributes:
        title: its name in messages.
        architecture: the architecture of the model that is built from it.
        markers: tensors that no other layout has in this combination.
        rules: map its names to this package's; each tensor must match one.
        record: derives the record from renamed tensors; values that shapes do not determine are those of
            the release.
        finish: applied to the renamed tensors, where renaming is not enough.
        tells: whether the shapes match this layout, where names are ambiguous.
    """

    title: str
    architecture: str
    markers: frozenset[str]
    rules: tuple[Rule, ...]
    record: Callable[[Tensors], Record]
    finish: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict
    tells: Callable[[Tensors], bool] = lambda tensors: True

    def matches(self, tensors: Tensors) -> bool:
        """Whether released tensors have this layout."""
        return self.markers <= tensors.keys() and self.tells(tensors)

    def convert(self, tensors: Tensors) -> dict[str, Tensor]:
        """Convert released tensors to the state dict of this package's model.

        Raises:
            ReleasedWeightsError: a tensor belongs to no part of the model, or one is missing.
        """
        return self.finish(rename(tensors, self.rules))


@cache
def layouts() -> tuple[Layout, ...]:
    """The layouts of every file in `sftok.checkpoints.released`."""
    names = sorted(module.name for module in pkgutil.iter_modules(released.__path__))
    modules = (importlib.import_module(f"{released.__name__}.{name}") for name in names)
    return tuple(layout for module in modules for layout in module.LAYOUTS)


def interpret(file: WeightFile) -> Checkpoint:
    """Convert the contents of a file to this package's names.

    Raises:
        CheckpointError: the file is not a known model, or has tensors that do not belong to it.
    """
    if file.saved is not None:
        architecture, record = file.saved
        *_, tensors = _unwrapped(file.tensors)
    else:
        architecture, record, tensors = _converted(file)
    return Checkpoint(str(file.path), architecture, record, tensors)


def _converted(file: WeightFile) -> tuple[str, Record, dict[str, Tensor]]:
    for tensors in _tokenizers(file.tensors):
        layout = next((layout for layout in layouts() if layout.matches(tensors)), None)
        if layout is None:
            continue
        try:
            converted = layout.convert(tensors)
            return layout.architecture, layout.record(converted), converted
        except ReleasedWeightsError as error:
            raise CheckpointError(f"{file.path}: looks like a {layout.title}, but {error}") from None
    shown = ", ".join(sorted(file.tensors)[:3])
    known = ", ".join(layout.title for layout in layouts())
    raise CheckpointError(
        f"{file.path}: not a known model; its {len(file.tensors)} tensors begin with {shown}; "
        f"known are: {known}; a model of this package needs the config.json that it was saved with beside it"
    )


def _unwrapped(tensors: Tensors) -> Iterator[Tensors]:
    """`tensors`, then the same without each wrapper prefix that all names share, outermost first."""
    yield tensors
    for prefix in WRAPPERS:
        if tensors and all(name.startswith(prefix) for name in tensors):
            yield from _unwrapped({name.removeprefix(prefix): tensor for name, tensor in tensors.items()})


def _tokenizers(tensors: Tensors) -> Iterator[Tensors]:
    """`tensors` without their wrappers, and the tokenizer alone if they are a diffusion generator's."""
    for unwrapped in _unwrapped(tensors):
        yield unwrapped
        if any(name.startswith(FIRST_STAGE) for name in unwrapped):
            yield from _unwrapped(_first_stage(unwrapped))


def _first_stage(tensors: Tensors) -> Tensors:
    """The tokenizer's tensors by its own names; unknown others are kept, so that a rule rejects them."""
    return {
        name.removeprefix(FIRST_STAGE)
        if name.startswith(FIRST_STAGE)
        else f"{name} (beside {FIRST_STAGE}*)": tensor
        for name, tensor in tensors.items()
        if not name.startswith(DIFFUSION)
    }
