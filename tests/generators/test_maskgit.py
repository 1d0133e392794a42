from __future__ import annotations

import pytest
import small_models
import torch
import torch.nn.functional as F
from small_models import draw, seeded
from torch.testing import assert_close

from sftok.generators.maskgit import MaskGITGenerator
from sftok.models.layers import attend, attend_with_dropout, draw_kept, drop_out

CONFIG = small_models.generator_record(6, 10, 3, depth=2)


@pytest.fixture
def model() -> MaskGITGenerator:
    return small_models.perturbed(MaskGITGenerator.from_config(CONFIG), 0.2)


@pytest.fixture
def ids() -> torch.Tensor:
    ids = torch.randint(CONFIG.vocabulary, (4, CONFIG.num_tokens), generator=seeded())
    ids[:, ::2] = CONFIG.vocabulary
    return ids


LABELS = torch.tensor([0, 1, 2, 3])


def test_every_position_sees_the_class_and_every_other_position_of_its_sample_alone(model, ids):
    assert (model.mask_id, model.null_class) == (10, 3)
    before = model(ids, LABELS)
    assert before.shape == (4, 6, 10)
    assert_close(model(ids[1:2], LABELS[1:2]), before[1:2])
    assert ((model(ids, LABELS.roll(1)) - before).abs().amax(-1) > 1e-6).all()
    changed = ids.clone()
    changed[:, 1] = (ids[:, 1] + 1) % CONFIG.vocabulary
    assert ((model(changed, LABELS) - before).abs().amax(-1) > 1e-6).all()


def test_every_parameter_gets_a_gradient(model):
    ids = torch.arange(CONFIG.vocabulary + 1).repeat(6)[:24].view(4, 6)
    model(ids, LABELS).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_a_block_is_torchs_own_post_norm_layer(model):
    theirs = torch.nn.TransformerEncoderLayer(16, 2, 64, 0.0, F.gelu, 1e-12, batch_first=True)
    names = {"attn.qkv.": "self_attn.in_proj_", "attn.proj": "self_attn.out_proj"}
    names |= {"mlp.fc1": "linear1", "mlp.fc2": "linear2"}
    state = model.blocks[1].state_dict()
    for ours, other in names.items():
        state = {name.replace(ours, other): value for name, value in state.items()}
    theirs.load_state_dict(state)
    tokens = draw(2, 5, 16)
    assert_close(model.blocks[1](tokens), theirs(tokens), rtol=1e-4, atol=1e-5)


def test_weights_come_from_the_generator_alone():
    drawn = []
    for number, seed in enumerate((5, 5, 6)):
        torch.manual_seed(number)
        drawn.append(MaskGITGenerator.from_config(CONFIG, seeded(seed)).state_dict())
    first, same, other = drawn
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])
    assert first["token_embedding.weight"].std().item() == pytest.approx(0.02, rel=0.15)


def test_dropout_keeps_the_mean_and_needs_a_generator():
    ones = torch.ones(100, 100)
    dropped = drop_out(ones, 0.25, draw_kept(ones.shape, 0.25, seeded()))
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert dropped.mean().item() == pytest.approx(1, abs=0.03)
    assert drop_out(ones, 0.25, draw_kept(ones.shape, 0.25, None)) is ones
    assert drop_out(ones, 0.0, draw_kept(ones.shape, 0.0, seeded())) is ones


def test_attention_weights_are_dropped_and_scaled():
    query, key = torch.randn(2, 50, 2, 64, 64, generator=seeded())
    identity = torch.eye(64).expand(50, 2, 64, 64)  # the values, so that what comes out is the weights
    weights = attend(query, key, identity)
    dropped = attend_with_dropout(query, key, identity, 0.25, draw_kept(weights.shape, 0.25, seeded()))
    kept = dropped != 0
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.01)
    assert_close(dropped[kept], weights[kept] / 0.75)
    assert torch.equal(attend_with_dropout(query, key, identity, 0.25, None), weights)


def test_dropout_is_the_seeds(ids):
    model = MaskGITGenerator.from_config(small_models.generator_record(6, 10, 3, dropout=0.5))
    still = model(ids, LABELS)
    assert torch.equal(model(ids, LABELS, seeded(1)), model(ids, LABELS, seeded(1)))
    assert not torch.equal(model(ids, LABELS, seeded(1)), model(ids, LABELS, seeded(2)))
    assert torch.equal(model(ids, LABELS), still)
