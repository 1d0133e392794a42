"""Every released full-size model is recognized by its tensors; on the meta device, which takes no memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sftok.checkpoints import CheckpointError
from sftok.checkpoints.files import WeightFile
from sftok.checkpoints.layouts import interpret, layouts
from sftok.checkpoints.released import llamagen_generator
from sftok.decoding.schedule import DecodingConfig
from sftok.generators.llamagen import LLAMAGEN_L, LlamaGenGenerator
from sftok.generators.maskgit import SFTOK_MASKGIT, MaskGITGenerator
from sftok.generators.open_magvit2 import OPEN_MAGVIT2_B, OpenMagvit2Generator
from sftok.models.maskgit_vqgan import MASKGIT_VQGAN, MaskGITVQGAN
from sftok.tokenizers.hub import TOKENIZERS
from sftok.tokenizers.sftok import SIZES, SFTok, SFTokRecord
from sftok.tokenizers.titok import TITOK_SIZES

REFERENCE = Path(__file__).parents[1] / "data" / "reference"


def released(name: str) -> WeightFile:
    tensors = json.loads((REFERENCE / f"keys_{name}.json").read_text())["tensors"]
    empty = {
        key: torch.empty(entry["shape"], dtype=getattr(torch, entry["dtype"]), device="meta")
        for key, entry in tensors.items()
    }
    return WeightFile(Path(f"{name}.bin"), empty, None)


def legacy(size: str, final_lookup: str) -> SFTokRecord:
    values = SIZES[size].model_dump()
    values["encoder"]["latent_layout"] = "legacy"
    return SFTokRecord.build({**values, "decoding": DecodingConfig(final_lookup=final_lookup)})


MODELS = [
    ("sftok_b64", legacy("sftok-b", "soft")),
    ("sftok_l64", legacy("sftok-l", "soft")),
    ("maskgit_vqgan", MASKGIT_VQGAN),
    ("titok_b64", TITOK_SIZES["titok-b64"]),
    ("titok_bl64_vq8k", TITOK_SIZES["titok-bl64"]),
    ("titok_l32", TITOK_SIZES["titok-l32"]),
    ("maskgit_generator", SFTOK_MASKGIT),
    ("llamagen_gpt_l", LLAMAGEN_L),
    ("open_magvit2_ar_256_b", OPEN_MAGVIT2_B),
]

GENERATORS = (MaskGITGenerator, LlamaGenGenerator, OpenMagvit2Generator)
KINDS = TOKENIZERS | {kind.architecture: kind for kind in GENERATORS}

NOT_KEPT = {"quantize.index_offset", "model.embeddings.token_type_embeddings.weight"}
"""An offset of zero; and token types, the first of which becomes a part of the positions."""


def kept(name: str) -> list[str]:
    """The tensors of a file that the model needs; Open-MAGVIT2's generator comes with its tokenizer."""
    unneeded = ("quantize.index_offset", "first_stage_model.")
    return [key for key in released(name).tensors if not key.startswith(unneeded)]


@pytest.mark.parametrize(("name", "record"), MODELS)
def test_a_released_model_is_recognized_and_built(name, record):
    checkpoint = interpret(released(name))
    checkpoint.check_complete()
    model = KINDS[checkpoint.architecture].from_checkpoint(checkpoint)
    assert model.record == record
    assert not model.training
    loaded = sum(tensor.numel() for tensor in model.state_dict().values())
    file = released(name).tensors
    assert loaded == sum(file[key].numel() for key in kept(name) if key not in NOT_KEPT)


def test_stage_two_needs_the_teachers_pixel_decoder_and_decodes_hard():
    stage2, teacher = interpret(released("sftok_b64_stage2")), interpret(released("maskgit_vqgan"))
    with pytest.raises(
        CheckpointError, match=r"stage 1 or 2.*maskgit-vqgan-imagenet-f16-256\.bin.*--teacher"
    ):
        stage2.check_complete()
    assert SFTok.from_checkpoint(stage2.completed_by(teacher)).record == legacy("sftok-b", "hard")
    with pytest.raises(CheckpointError, match="given as the teacher, but is a 'titok'"):
        stage2.completed_by(interpret(released("titok_b64")))


@pytest.mark.parametrize("name", ["sftok_b64", "titok_b64", "maskgit_vqgan"])
def test_a_teacher_where_none_is_needed_is_refused(name):
    with pytest.raises(CheckpointError, match="is complete without a teacher's file"):
        interpret(released(name)).completed_by(interpret(released("maskgit_vqgan")))


def test_another_model_is_refused():
    with pytest.raises(CheckpointError, match="holds a model 'titok', not 'sftok'"):
        SFTok.from_checkpoint(interpret(released("titok_b64")))
    with pytest.raises(CheckpointError, match="holds a model 'sftok', not 'maskgit-vqgan'"):
        MaskGITVQGAN.from_checkpoint(interpret(released("sftok_b64")))


def test_a_foreign_file_is_refused_with_what_is_known():
    foreign = WeightFile(Path("resnet.bin"), {"layer1.0.conv1.weight": torch.zeros(1)}, None)
    with pytest.raises(
        CheckpointError, match=r"resnet\.bin: not a known model.* layer1\.0\.conv1\.weight.*released SFTok"
    ):
        interpret(foreign)


@pytest.mark.parametrize("name", [name for name, _ in MODELS])
def test_any_missing_tensor_is_refused(name):
    tensors, required = released(name).tensors, kept(name)
    for key in required[:: len(required) // 4]:
        cut = {other: tensor for other, tensor in tensors.items() if other != key}
        file = WeightFile(Path("cut.bin"), cut, None)
        with pytest.raises(CheckpointError, match=r"^cut\.bin: "):
            _build(file)


@pytest.mark.parametrize("name", [name for name, _ in MODELS])
def test_any_wrong_shape_is_refused(name):
    tensors = released(name).tensors
    weights = kept(name)
    for key in weights[:: len(weights) // 4]:
        longer = torch.empty([*tensors[key].shape[:-1], tensors[key].shape[-1] + 1], device="meta")
        with pytest.raises(CheckpointError, match=r"^cut\.bin: "):
            _build(WeightFile(Path("cut.bin"), {**tensors, key: longer}, None))


@pytest.mark.parametrize("shape", [(), (3, 0)])
@pytest.mark.parametrize("name", [name for name, _ in MODELS])
def test_a_wrong_shape_is_one_line(name, shape):
    tensors = released(name).tensors
    said = []
    for key in tensors:
        altered = {**tensors, key: torch.empty(shape, device="meta")}
        try:
            interpret(WeightFile(Path("cut.bin"), altered, None))
        except CheckpointError as error:  # what no sizes are read off, the model itself refuses
            said.append(str(error))
    assert said, "sizes are read off some of them"
    assert all(line.startswith("cut.bin: ") and "\n" not in line for line in said)


def _build(file: WeightFile) -> None:
    checkpoint = interpret(file)
    checkpoint.check_complete()
    KINDS[checkpoint.architecture].from_checkpoint(checkpoint)


def test_integers_are_not_weights():
    file = released("maskgit_vqgan")
    file.tensors["encoder.conv_in.weight"] = file.tensors["encoder.conv_in.weight"].int()
    message = r"of another type: encoder\.conv_in\.weight int32 for float32"
    with pytest.raises(CheckpointError, match=message):
        MaskGITVQGAN.from_checkpoint(interpret(file))


def test_no_file_matches_two_layouts():
    for name, _ in [*MODELS, ("sftok_b64_stage2", None)]:
        tensors = released(name).tensors
        assert sum(layout.matches(tensors) for layout in layouts()) == 1


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod."])
@pytest.mark.parametrize("name", ["sftok_b64", "maskgit_vqgan", "maskgit_generator"])
def test_a_prefix_that_all_names_share_is_stripped(name, prefix):
    plain = released(name)
    wrapped = {f"{prefix}{key}": tensor for key, tensor in plain.tensors.items()}
    checkpoint = interpret(WeightFile(plain.path, wrapped, None))
    assert checkpoint.tensors.keys() == interpret(plain).tensors.keys()
    wrapped["encoder.extra"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match="not a known model"):
        interpret(WeightFile(plain.path, wrapped, None))


def test_a_prefix_of_our_own_weights_is_stripped(tmp_path, sftok):
    state = {f"module.{name}": tensor for name, tensor in sftok.state_dict().items()}
    saved = "sftok", sftok.record.model_dump(mode="json")
    loaded = SFTok.from_checkpoint(interpret(WeightFile(tmp_path, state, saved)))
    assert loaded.record == sftok.record


@pytest.mark.parametrize(("width", "tokens"), [(768, 256), (1024, 256), (1280, 576), (3200, 576)])
def test_llamagens_wider_models_were_published_for_384_pixels_alone(width, tokens):
    tensors = {
        "class_embedding.weight": torch.empty(1001, width, device="meta"),
        "embeddings.0.weight": torch.empty(16384, width, device="meta"),
        "blocks.0.norm.weight": torch.empty(width, device="meta"),
    }
    assert llamagen_generator._record(tensors)["num_tokens"] == tokens
