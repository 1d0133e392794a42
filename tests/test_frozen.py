"""A frozen module: outside the module tree of its owner, never trained, transparent to gradients."""

from __future__ import annotations

import torch
from torch import nn

from sftok.frozen import Frozen
from sftok.quantizers.fsq import FSQConfig


class Owner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.held = Frozen(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)))


def test_it_is_not_part_of_its_owner_and_gradients_pass_through_it() -> None:
    owner, inputs = Owner().train(), torch.ones(1, 2, requires_grad=True)
    assert (list(owner.parameters()), owner.state_dict()) == ([], {})
    assert not owner.held.module.training
    owner.held(inputs).sum().backward()
    assert inputs.grad is not None
    assert all(parameter.grad is None for parameter in owner.held.module.parameters())


def test_it_follows_its_inputs_to_their_device() -> None:
    held = Owner().held
    assert held(torch.ones(1, 2, device="meta")).device.type == "meta"
    assert all(parameter.device.type == "meta" for parameter in held.module.parameters())


def test_a_module_without_parameters_follows_its_inputs_too() -> None:
    held = Frozen(FSQConfig(levels=(3, 4)).build(2))
    assert {buffer.device.type for buffer in held.on(torch.device("meta")).buffers()} == {"meta"}
