from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sftok.models.generator import SFTOK_MASKGIT, MaskGITConfig, MaskGITGenerator
from sftok.models.titok import TITOK_SIZES, TiTok
from sftok.models.tokenizer import SFTOK_B, SFTOK_L, SFTok, SFTokConfig
from sftok.released import (
    ReleasedWeightsError,
    convert_maskgit_generator,
    convert_maskgit_vqgan,
    convert_sftok,
    convert_titok_codes,
    convert_titok_pixels,
)
from sftok.teacher.vqgan import MASKGIT_VQGAN, MaskGITVQGAN

REFERENCE = Path(__file__).parent / "data" / "reference"


def released(name: str) -> dict[str, torch.Tensor]:
    """A full-size checkpoint without its memory: names, shapes and types on the meta device."""
    tensors = json.loads((REFERENCE / f"keys_{name}.json").read_text())["tensors"]
    return {
        key: torch.empty(entry["shape"], dtype=getattr(torch, entry["dtype"]), device="meta")
        for key, entry in tensors.items()
    }


def build(config: SFTokConfig) -> SFTok:
    with torch.device("meta"):
        return SFTok.from_config(config)


def shapes(state: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}


@pytest.mark.parametrize(("name", "config"), [("sftok_b64", SFTOK_B), ("sftok_l64", SFTOK_L)])
def test_every_tensor_of_a_released_sftok_has_its_place(name, config):
    assert shapes(convert_sftok(released(name))) == shapes(build(config).state_dict())


TITOKS = [
    ("titok_b64", convert_titok_codes, "titok-b64"),
    ("titok_l32", convert_titok_codes, "titok-l32"),
    ("titok_bl64_vq8k", convert_titok_pixels, "titok-bl64"),
]


@pytest.mark.parametrize(("name", "convert", "size"), TITOKS)
def test_every_tensor_of_a_released_titok_has_its_place(name, convert, size):
    with torch.device("meta"):
        titok = TiTok.from_config(TITOK_SIZES[size])
    assert shapes(convert(released(name))) == shapes(titok.state_dict())


def test_stage_two_lacks_the_pixel_decoder_only():
    ours = shapes(build(SFTOK_B).state_dict())
    expected = {name: shape for name, shape in ours.items() if not name.startswith("pixel_decoder.")}
    assert shapes(convert_sftok(released("sftok_b64_stage2"))) == expected


def test_every_tensor_of_the_released_teacher_has_its_place():
    with torch.device("meta"):
        teacher = MaskGITVQGAN.from_config(MASKGIT_VQGAN)
    assert shapes(convert_maskgit_vqgan(released("maskgit_vqgan"))) == shapes(teacher.state_dict())


def test_every_tensor_of_the_released_generator_has_its_place():
    with torch.device("meta"):
        model = MaskGITGenerator.from_config(SFTOK_MASKGIT)
    assert shapes(convert_maskgit_generator(released("maskgit_generator"))) == shapes(model.state_dict())


def test_a_converted_generator_is_the_bert_it_came_from():
    width, heads, ids, classes = 8, 2, 5, 3
    model = MaskGITConfig(width=width, depth=1, heads=heads).build(4, ids, classes)
    bert = {
        name: torch.randn(shape, generator=torch.Generator().manual_seed(place))
        for place, (name, shape) in enumerate(tiny_bert(width, ids, classes, positions=5).items())
    }
    model.load_state_dict(convert_maskgit_generator(bert))
    seen = torch.tensor([[0, 5, 5, 3], [5, 5, 5, 5]])
    labels = torch.tensor([2, 3])
    words = torch.cat([labels.unsqueeze(1) + ids + 1, seen], dim=1)
    torch.testing.assert_close(model(seen, labels), run_bert(bert, words, heads), rtol=1e-4, atol=1e-4)


def tiny_bert(width: int, ids: int, classes: int, positions: int) -> dict[str, tuple[int, ...]]:
    layer, attention = "model.encoder.layer.0", "model.encoder.layer.0.attention"
    linear = {
        **{f"{attention}.self.{part}": (width, width) for part in ("query", "key", "value")},
        f"{attention}.output.dense": (width, width),
        f"{layer}.intermediate.dense": (4 * width, width),
        f"{layer}.output.dense": (width, 4 * width),
        "model.lm_head": (ids, width),
    }
    norms = (
        "model.embeddings.LayerNorm",
        f"{attention}.output.LayerNorm",
        f"{layer}.output.LayerNorm",
    )
    return {
        "model.embeddings.word_embeddings.weight": (ids + classes + 2, width),
        "model.embeddings.position_embeddings.weight": (positions, width),
        "model.embeddings.token_type_embeddings.weight": (2, width),
        **{f"{name}.weight": shape for name, shape in linear.items()},
        **{f"{name}.bias": shape[:1] for name, shape in linear.items()},
        **{f"{name}.{which}": (width,) for name in norms for which in ("weight", "bias")},
    }


def run_bert(bert: dict[str, torch.Tensor], words: torch.Tensor, heads: int) -> torch.Tensor:
    """BERT by its definition, one head after the other."""

    def linear(name: str, tokens: torch.Tensor) -> torch.Tensor:
        return tokens @ bert[f"model.{name}.weight"].T + bert[f"model.{name}.bias"]

    def norm(name: str, tokens: torch.Tensor) -> torch.Tensor:
        centred = tokens - tokens.mean(-1, keepdim=True)
        scaled = centred / (tokens.var(-1, unbiased=False, keepdim=True) + 1e-12).sqrt()
        return scaled * bert[f"model.{name}.LayerNorm.weight"] + bert[f"model.{name}.LayerNorm.bias"]

    embedded = bert["model.embeddings.word_embeddings.weight"][words]
    embedded = embedded + bert["model.embeddings.position_embeddings.weight"]
    tokens = norm("embeddings", embedded + bert["model.embeddings.token_type_embeddings.weight"][0])
    layer, attention = "encoder.layer.0", "encoder.layer.0.attention"
    parts = [linear(f"{attention}.self.{part}", tokens) for part in ("query", "key", "value")]
    attended = [
        (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1) @ value
        for query, key, value in zip(*(part.chunk(heads, -1) for part in parts), strict=True)
    ]
    tokens = norm(
        f"{attention}.output", tokens + linear(f"{attention}.output.dense", torch.cat(attended, -1))
    )
    hidden = torch.nn.functional.gelu(linear(f"{layer}.intermediate.dense", tokens))
    tokens = norm(f"{layer}.output", tokens + linear(f"{layer}.output.dense", hidden))
    return linear("lm_head", tokens)[:, 1:]


@pytest.mark.parametrize(
    "part", ["embeddings.word_embeddings", "encoder.layer.3.attention.self.key", "lm_head"]
)
def test_a_generator_that_lacks_a_tensor_is_refused(part):
    tensors = released("maskgit_generator")
    del tensors[f"model.{part}.weight"]
    with pytest.raises(ReleasedWeightsError, match="a tensor is missing"):
        convert_maskgit_generator(tensors)


def test_the_teachers_pixel_decoder_completes_a_stage_two_checkpoint():
    teacher = convert_maskgit_vqgan(released("maskgit_vqgan"))
    state = convert_sftok(released("sftok_b64_stage2"))
    state |= {name: tensor for name, tensor in teacher.items() if name.startswith("pixel_decoder.")}
    build(SFTOK_B).load_state_dict(state, assign=True)


@pytest.mark.parametrize(
    "convert",
    [
        convert_sftok,
        convert_maskgit_vqgan,
        convert_maskgit_generator,
        convert_titok_codes,
        convert_titok_pixels,
    ],
)
def test_a_leftover_is_refused_by_name(convert):
    with pytest.raises(ReleasedWeightsError, match=r"2 tensors .*decoder\.surprise, sem_linear\.weight"):
        convert({"sem_linear.weight": torch.zeros(1), "decoder.surprise": torch.zeros(1)})


def test_converting_leaves_the_input_alone():
    state = {"latent_tokens": torch.ones(2, 3), "quantize.index_offset": torch.zeros(1)}
    assert list(convert_sftok(state)) == ["encoder.queries"]
    assert list(state) == ["latent_tokens", "quantize.index_offset"]
