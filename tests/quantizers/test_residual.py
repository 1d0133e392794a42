"""Residual quantization against RQ-VAE's numbers, its codebook over several steps, and across processes."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest
import torch
from authors import TOLERANCE, numbers
from small_models import draw, seeded
from torch import Tensor
from torch.testing import assert_close

from sftok.distributed import World
from sftok.quantizers.residual import Residual, ResidualConfig, restart_candidates

REFERENCE = {name.removeprefix("quantizer."): value for name, value in numbers("rqvae").items()}
LATENTS = REFERENCE["in.latent"].flatten(1, 2)


def of_the_authors(**settings: object) -> Residual:
    config = ResidualConfig(codebook_size=64, commitment_cost=1, **settings)
    quantizer = config.build(16)
    codes = REFERENCE["codebook"][:64]  # the last row is padding
    state = {"codes": codes, "usage": REFERENCE["cluster_size_ema"], "sums": REFERENCE["embed_ema"]}
    quantizer.load_state_dict(state)
    return quantizer


def test_evaluation_is_the_authors() -> None:
    quantizer, latents = of_the_authors().eval(), LATENTS.clone().requires_grad_()
    found = quantizer(latents)
    assert torch.equal(found.ids, REFERENCE["eval.ids"].flatten(1))
    assert_close(found.quantized, REFERENCE["eval.quantized"].flatten(1, 2), **TOLERANCE)
    assert_close(found.loss, REFERENCE["eval.commitment_loss"], **TOLERANCE)
    (found.loss + (found.quantized * REFERENCE["in.cotangent"].flatten(1, 2)).sum()).backward()
    assert_close(latents.grad, REFERENCE["eval.grad_latent"].flatten(1, 2), **TOLERANCE)
    for depth, partial_sum in enumerate(quantizer._quantize(LATENTS)[1]):
        assert_close(partial_sum, REFERENCE["eval.partial_sums"][depth].flatten(1, 2), **TOLERANCE)


@pytest.mark.parametrize("run", ["train", "train_restart"])
def test_a_training_step_is_the_authors(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    noise, orders = iter(REFERENCE["in.restart_noise"]), iter(REFERENCE["in.restart_permutation"])
    monkeypatch.setattr(torch, "rand", lambda shape, **_: next(noise).view(shape))
    monkeypatch.setattr(torch, "randperm", lambda count, **_: next(orders)[:count])
    quantizer = of_the_authors(restart_below=float(run == "train_restart")).train()
    found = quantizer(LATENTS, seeded())
    assert torch.equal(found.ids, REFERENCE[f"{run}.ids"].flatten(1))
    assert_close(found.quantized, REFERENCE[f"{run}.quantized"].flatten(1, 2), **TOLERANCE)
    assert_close(found.loss, REFERENCE[f"{run}.commitment_loss"], **TOLERANCE)
    assert_close(quantizer.usage, REFERENCE[f"{run}.cluster_size_ema_after"], **TOLERANCE)
    assert_close(quantizer.sums, REFERENCE[f"{run}.embed_ema_after"], **TOLERANCE)
    assert_close(quantizer.codebook(), REFERENCE[f"{run}.codebook_after"][:64], **TOLERANCE)


def test_another_library_agrees() -> None:
    reference = numbers("vector_quantize")
    quantizer = ResidualConfig(codebook_size=32).build(8)
    quantizer.codes.copy_(reference["in.rvq.codebook"])
    ids = quantizer.assign(reference["in.rvq.z"])
    assert torch.equal(ids, reference["out.rvq.ids"].flatten(1))
    assert_close(quantizer.lookup(ids), reference["out.rvq.quantized"], **TOLERANCE)


def test_each_depth_leaves_less() -> None:
    quantizer = ResidualConfig(codebook_size=32).build(4)
    for step in range(50):
        quantizer(draw(8, 16, 4, seed=step), seeded(step))
    latents = draw(8, 16, 4, seed=100)
    errors = [(latents - partial).square().mean() for partial in quantizer.eval()._quantize(latents)[1]]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.1 * errors[0]


def test_training_resumes_bit_for_bit_from_the_state() -> None:
    def steps(quantizer: Residual, first: int, last: int) -> Residual:
        for step in range(first, last):
            quantizer(draw(2, 8, 4, seed=step), seeded(step))
        return quantizer

    config = ResidualConfig(codebook_size=16)
    whole = steps(config.build(4), 0, 6).state_dict()
    resumed = config.build(4, seeded(9))
    resumed.load_state_dict(steps(config.build(4), 0, 3).state_dict())
    for name, value in steps(resumed, 3, 6).state_dict().items():
        assert torch.equal(value, whole[name]), name


def test_evaluation_leaves_the_codebook_alone() -> None:
    quantizer = of_the_authors().eval()
    quantizer(LATENTS)
    quantizer.train().assign(LATENTS)
    assert torch.equal(quantizer.codebook(), REFERENCE["codebook"][:64])


def test_only_the_generator_restarts_codes() -> None:
    config, results = ResidualConfig(codebook_size=16), []
    for seed in (0, 0, 1):
        quantizer = config.build(4)
        quantizer(draw(2, 3, 4), seeded(seed))
        results.append(quantizer.codebook())
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    with pytest.raises(ValueError, match="needs a generator"):
        config.build(4)(draw(2, 3, 4))


def test_candidates_are_different_residuals() -> None:
    residuals = draw(9, 4)
    few = restart_candidates(residuals, 5, seeded())
    assert len(few.unique(dim=0)) == 5
    assert all((residuals == row).all(1).any() for row in few)
    many = restart_candidates(residuals, 20, seeded())
    assert len(many.unique(dim=0)) == 20
    assert torch.cdist(many, residuals).min(1).values.max() <= 0.01


@dataclass(frozen=True)
class Thread(World):
    """A rank among threads, which exchange tensors through a list."""

    barrier: threading.Barrier | None = None
    parts: tuple[list[Tensor], ...] = ()

    def gather(self, part: Tensor) -> Tensor:
        assert self.barrier is not None
        self.parts[self.rank][:] = [part]
        self.barrier.wait()
        whole = torch.cat([each[0] for each in self.parts])
        self.barrier.wait()
        return whole


def test_processes_together_update_as_one_does_alone() -> None:
    latents, config = draw(4, 6, 4), ResidualConfig(codebook_size=8)
    alone = config.build(4)
    expected = alone(latents, seeded(1))
    barrier, parts, quantizers = threading.Barrier(2), ([], []), [config.build(4), config.build(4)]
    found: dict[int, Tensor] = {}

    def run(rank: int) -> None:
        world = Thread(rank, 2, barrier=barrier, parts=parts)
        found[rank] = quantizers[rank](world.share(latents), seeded(1), world).ids

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(torch.cat([found[0], found[1]]), expected.ids)
    assert torch.equal(quantizers[0].codebook(), quantizers[1].codebook())
    assert_close(quantizers[0].codebook(), alone.codebook(), **TOLERANCE)
