"""Which model a file holds, told by the names of its tensors, and in which of the known layouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from sftok.checkpoints import shapes
from sftok.checkpoints.checkpoint import (
    MASKGIT_GENERATOR,
    MASKGIT_VQGAN,
    SFTOK,
    TITOK,
    Checkpoint,
    CheckpointError,
)
from sftok.checkpoints.files import WeightFile
from sftok.released import (
    ReleasedWeightsError,
    convert_maskgit_generator,
    convert_maskgit_vqgan,
    convert_sftok,
    convert_titok_codes,
    convert_titok_pixels,
)

Tensors = Mapping[str, Tensor]


class Layout(NamedTuple):
    """A way in which a model is laid out in a file.

    Attributes:
        title: what messages call it.
        architecture: of the model.
        markers: tensors that together no other layout has.
        convert: to this package's names.
        infer: the record that converted tensors imply; None: the file must carry it.
    """

    title: str
    architecture: str
    markers: frozenset[str]
    convert: Callable[[Tensors], dict[str, Tensor]]
    infer: Callable[[Tensors], dict[str, Any]] | None


LAYOUTS = (
    Layout(
        "this package's SFTok",
        SFTOK,
        frozenset({"encoder.queries", "decoder.embed_codes.weight"}),
        dict,
        None,
    ),
    Layout("this package's TiTok", TITOK, frozenset({"encoder.queries", "decoder.mask_token"}), dict, None),
    Layout(
        "this package's MaskGIT-VQGAN",
        MASKGIT_VQGAN,
        frozenset({"encoder.conv_in.weight", "pixel_decoder.codebook"}),
        dict,
        None,
    ),
    Layout(
        "this package's MaskGIT generator",
        MASKGIT_GENERATOR,
        frozenset({"class_embedding.weight", "position_embedding"}),
        dict,
        None,
    ),
    Layout(
        "released SFTok",
        SFTOK,
        frozenset({"latent_tokens", "decoder.learnable_embedding.weight"}),
        convert_sftok,
        shapes.released_sftok,
    ),
    Layout(
        "released TiTok with a pixel decoder",
        TITOK,
        frozenset({"latent_tokens", "decoder.mask_token", "decoder.ffn.2.weight"}),
        convert_titok_codes,
        shapes.released_titok_codes,
    ),
    Layout(
        "released TiTok without a pixel decoder",
        TITOK,
        frozenset({"latent_tokens", "decoder.mask_token", "decoder.conv_out.weight"}),
        convert_titok_pixels,
        shapes.released_titok_pixels,
    ),
    Layout(
        "released MaskGIT-VQGAN",
        MASKGIT_VQGAN,
        frozenset({"encoder.conv_in.weight", "quantize.embedding.weight"}),
        convert_maskgit_vqgan,
        shapes.released_maskgit_vqgan,
    ),
    Layout(
        "released MaskGIT generator",
        MASKGIT_GENERATOR,
        frozenset({"model.embeddings.word_embeddings.weight", "model.lm_head.weight"}),
        convert_maskgit_generator,
        shapes.released_maskgit_generator,
    ),
)
"""Every layout that is read."""


def interpret(file: WeightFile) -> Checkpoint:
    """What a file holds, in this package's names.

    Raises:
        CheckpointError: no known model, tensors that are none of it, or no configuration where one is
            needed.
    """
    layout = next((layout for layout in LAYOUTS if layout.markers <= file.tensors.keys()), None)
    if layout is None:
        shown = ", ".join(sorted(file.tensors)[:3])
        known = ", ".join(layout.title for layout in LAYOUTS)
        raise CheckpointError(
            f"{file.path}: no model that is known here, its {len(file.tensors)} tensors begin with {shown}; "
            f"known are: {known}"
        )
    try:
        tensors = layout.convert(file.tensors)
        record = file.config if layout.infer is None else layout.infer(tensors)
    except ReleasedWeightsError as error:
        raise CheckpointError(f"{file.path}: looks like a {layout.title}, but {error}") from None
    if record is None:
        raise CheckpointError(
            f"{file.path}: {layout.title} without its configuration; put its config.json beside it"
        )
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise CheckpointError(
                f"{file.path}: {name} holds {str(tensor.dtype).removeprefix('torch.')}, not weights"
            )
    return Checkpoint(str(file.path), layout.architecture, record, tensors)
