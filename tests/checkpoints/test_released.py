from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sftok.checkpoints.layouts import layouts
from sftok.checkpoints.released import maskgit_generator, sftok
from sftok.checkpoints.renaming import ReleasedWeightsError
from sftok.generators.base import TokenShape
from sftok.generators.maskgit import MaskGITConfig

REFERENCE = Path(__file__).parents[1] / "data" / "reference"


def released(name: str) -> dict[str, torch.Tensor]:
    """A full-size checkpoint without its memory: names, shapes and types on the meta device."""
    tensors = json.loads((REFERENCE / f"keys_{name}.json").read_text())["tensors"]
    return {
        key: torch.empty(entry["shape"], dtype=getattr(torch, entry["dtype"]), device="meta")
        for key, entry in tensors.items()
    }


[SFTOK], [GENERATOR] = sftok.LAYOUTS, maskgit_generator.LAYOUTS


def test_a_converted_generator_is_the_bert_it_came_from():
    width, heads, ids, classes = 8, 2, 5, 3
    tokens = TokenShape(num_tokens=4, vocabulary=ids)
    model = MaskGITConfig(width=width, depth=1, heads=heads).build(tokens, classes)
    bert = {
        name: torch.randn(shape, generator=torch.Generator().manual_seed(place))
        for place, (name, shape) in enumerate(tiny_bert(width, ids, classes, positions=5).items())
    }
    model.load_state_dict(GENERATOR.convert(bert))
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
        centered = tokens - tokens.mean(-1, keepdim=True)
        scaled = centered / (tokens.var(-1, unbiased=False, keepdim=True) + 1e-12).sqrt()
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
        GENERATOR.convert(tensors)


@pytest.mark.parametrize("layout", layouts(), ids=lambda layout: layout.title)
def test_a_leftover_is_refused_by_name(layout):
    with pytest.raises(ReleasedWeightsError, match=r"2 tensors .*decoder\.surprise, sem_linear\.weight"):
        layout.convert({"sem_linear.weight": torch.zeros(1), "decoder.surprise": torch.zeros(1)})


def test_converting_leaves_the_input_alone():
    state = {"latent_tokens": torch.ones(2, 3), "quantize.index_offset": torch.zeros(1)}
    assert list(SFTOK.convert(state)) == ["encoder.queries"]
    assert list(state) == ["latent_tokens", "quantize.index_offset"]
