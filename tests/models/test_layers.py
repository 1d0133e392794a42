from __future__ import annotations

import torch
from torch import nn
from torch.testing import assert_close

from sftok.models.layers import TransformerBlock, initialize_transformer


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


def test_initialization_has_the_releases_scales():
    block = TransformerBlock(128, 4)
    initialize_transformer(block)
    assert abs(block.mlp.fc1.weight.std().item() - 0.02) < 0.001
    assert abs(block.attn.qkv.weight.std().item() - (0.5 / 128) ** 0.5) < 0.003
    assert block.mlp.fc1.bias.abs().max() == 0
    assert torch.equal(block.norm1.weight, torch.ones(128))
