from __future__ import annotations

import torch
from torch import nn
from torch.testing import assert_close

from sftok.models.layers import TransformerBlock, initialize_transformer, transformer


def test_block_computes_what_torchs_own_pre_norm_layer_does():
    theirs = nn.TransformerEncoderLayer(
        16, 4, 64, dropout=0, activation="gelu", batch_first=True, norm_first=True
    )
    ours = TransformerBlock(16, 4)
    pairs = {
        "norm1": theirs.norm1,
        "norm2": theirs.norm2,
        "attn.proj": theirs.self_attn.out_proj,
        "mlp.fc1": theirs.linear1,
        "mlp.fc2": theirs.linear2,
    }
    for name, module in pairs.items():
        ours.get_submodule(name).load_state_dict(module.state_dict())
    ours.attn.qkv.weight = theirs.self_attn.in_proj_weight
    ours.attn.qkv.bias = theirs.self_attn.in_proj_bias
    tokens = torch.randn(3, 7, 16, generator=torch.Generator().manual_seed(0))
    assert_close(ours(tokens), theirs(tokens), atol=1e-5, rtol=1e-5)


def test_block_treats_tokens_as_a_set():
    block, order = TransformerBlock(8, 2), torch.tensor([2, 0, 1])
    tokens = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))
    assert_close(block(tokens)[:, order], block(tokens[:, order]))


def test_initialization_depends_on_the_generator_alone():
    def drawn(seed: int, global_seed: int) -> torch.Tensor:
        torch.manual_seed(global_seed)
        module = transformer(8, 2, 2)
        initialize_transformer(module, torch.Generator().manual_seed(seed))
        return torch.cat([parameter.flatten() for parameter in module.parameters()])

    assert torch.equal(drawn(0, global_seed=1), drawn(0, global_seed=2))
    assert not torch.equal(drawn(0, global_seed=1), drawn(1, global_seed=1))


def test_initialization_has_the_releases_scales():
    block = TransformerBlock(128, 4)
    initialize_transformer(block)
    assert abs(block.mlp.fc1.weight.std().item() - 0.02) < 0.001
    assert abs(block.attn.qkv.weight.std().item() - (0.5 / 128) ** 0.5) < 0.003
    assert block.mlp.fc1.bias.abs().max() == 0
    assert torch.equal(block.norm1.weight, torch.ones(128))
