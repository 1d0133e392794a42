"""The adversarial losses against their definitions, and where their gradients go."""

from __future__ import annotations

import pytest
import torch

from sftok.losses.adversarial import LeCam, hinge_discriminator_loss, hinge_generator_loss


def test_known_values_of_the_hinge_losses() -> None:
    real, fake = torch.tensor([[2.0, 0.5], [-1.0, 1.0]]), torch.tensor([[-3.0, 0.0]])
    # real: 0, 0.5, 2, 0 on average 0.625; fake: 0, 1 on average 0.5
    assert hinge_discriminator_loss(real, fake).item() == pytest.approx(0.5 * (0.625 + 0.5))
    assert hinge_generator_loss(fake).item() == pytest.approx(1.5)
    zeros = torch.zeros(3, 7)
    assert hinge_discriminator_loss(zeros, zeros).item() == 1
    assert hinge_discriminator_loss(zeros + 1, zeros - 1).item() == 0


def test_model_and_discriminator_pull_the_logits_of_reconstructions_apart() -> None:
    fake = torch.zeros(4, requires_grad=True)
    (wanted_by_model,) = torch.autograd.grad(hinge_generator_loss(fake), fake)
    (wanted_by_discriminator,) = torch.autograd.grad(hinge_discriminator_loss(fake + 1, fake), fake)
    assert (wanted_by_model < 0).all()
    assert (wanted_by_discriminator > 0).all()


def test_known_values_of_lecam() -> None:
    lecam = LeCam(decay=0.75)
    # Both averages start at 0: (2 - 0)^2 + max(0, 0 - (-1))^2
    assert lecam(torch.tensor([1.0, 3.0]), torch.tensor([-1.0])).item() == pytest.approx(5.0)
    assert (lecam.real.item(), lecam.fake.item()) == (0.5, -0.25)
    # (2 - (-0.25))^2 + (0.5 - (-1))^2
    assert lecam(torch.tensor([2.0]), torch.tensor([-1.0])).item() == pytest.approx(7.3125)
    assert (lecam.real.item(), lecam.fake.item()) == (0.875, -0.4375)


def test_lecam_pulls_both_logits_towards_the_other_average() -> None:
    real, fake = torch.ones(3, requires_grad=True), -torch.ones(3, requires_grad=True)
    real_pull, fake_pull = torch.autograd.grad(LeCam()(real, fake), (real, fake))
    assert (real_pull > 0).all()
    assert (fake_pull < 0).all()
