"""Multi-scale quantization against ImageFolder's numbers, and its dropout."""

from __future__ import annotations

import pytest
import torch
from authors import TOLERANCE, numbers, sequence
from pydantic import ValidationError
from small_models import draw, seeded
from torch import Tensor
from torch.testing import assert_close

from sftok.distributed import World
from sftok.quantizers.multiscale import Multiscale, MultiscaleConfig, smoothing_of_scale

REFERENCE = numbers("imagefolder")
SCALES = (1, 1, 2, 2, 3, 4)


def of(branch: int) -> dict[str, Tensor]:
    start = f"quantizer.{branch}."
    return {name.removeprefix(start): value for name, value in REFERENCE.items() if name.startswith(start)}


def of_the_authors(*branches: int) -> Multiscale:
    dropout = {"dropout": 0.5, "fewest_scales": 1}
    config = MultiscaleConfig(codebook_size=64, scales=SCALES, branches=len(branches), **dropout)
    quantizer = config.build(8 * len(branches))
    for own, branch in zip(quantizer.branches, branches, strict=True):
        names = {"embedding.weight": "embedding", "quant_resi.qresi_ls.": "smoothings."}
        state = {k.removeprefix("weights."): v for k, v in of(branch).items() if k.startswith("weights.")}
        for theirs, ours in names.items():
            state = {name.replace(theirs, ours): value for name, value in state.items()}
        own.load_state_dict(state)
    return quantizer


def latents_of(*branches: int) -> Tensor:
    return torch.cat([sequence(of(branch)["in.latent"]) for branch in branches], -1)


@pytest.mark.parametrize("branch", [0, 1])
def test_evaluation_is_the_authors(branch: int) -> None:
    quantizer, reference = of_the_authors(branch).eval(), of(branch)
    latents = latents_of(branch).requires_grad_()
    found = quantizer(latents)
    ids = torch.cat([reference[f"eval.ids.scale{scale}"] for scale in range(len(SCALES))], 1)
    assert torch.equal(found.ids, ids)
    assert_close(found.quantized, sequence(reference["eval.quantized"]), **TOLERANCE)
    assert_close(found.codebook_loss, reference["eval.vq_loss"], **TOLERANCE)
    assert_close(found.commitment_loss, reference["eval.commitment_loss"], **TOLERANCE)
    added = torch.stack(quantizer.branches[0](reference["in.latent"])[1])
    assert_close(added.cumsum(0), reference["eval.partial_sums"], **TOLERANCE)
    (found.loss + (found.quantized * sequence(reference["in.cotangent"])).sum()).backward()
    assert_close(latents.grad, sequence(reference["eval.grad_latent"]), **TOLERANCE)
    own = quantizer.branches[0]
    assert_close(own.embedding.grad, reference["eval.grad_codebook"], **TOLERANCE)
    for number, smoothing in enumerate(own.smoothings):
        assert_close(smoothing.weight.grad, reference[f"eval.grad_phi.{number}"], **TOLERANCE)


@pytest.mark.parametrize("branch", [0, 1])
def test_dropout_is_the_authors(branch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randint", lambda *_, **__: REFERENCE["quantizer.in.dropout_draw"])
    quantizer, reference = of_the_authors(branch).train(), of(branch)
    latents = latents_of(branch).requires_grad_()
    found = quantizer(latents, seeded())
    assert_close(found.quantized, sequence(reference["train_dropout.quantized"]), **TOLERANCE)
    assert_close(found.codebook_loss, reference["train_dropout.vq_loss"], **TOLERANCE)
    assert_close(found.commitment_loss, reference["train_dropout.commitment_loss"], **TOLERANCE)
    (found.loss + (found.quantized * sequence(reference["in.cotangent"])).sum()).backward()
    assert_close(latents.grad, sequence(reference["train_dropout.grad_latent"]), **TOLERANCE)


def test_branches_are_independent_and_their_losses_averaged() -> None:
    latents = latents_of(0, 1)
    both, *alone = (of_the_authors(*branches).eval() for branches in ((0, 1), (0,), (1,)))
    found = both(latents)
    parts = [quantizer(part) for quantizer, part in zip(alone, latents.chunk(2, -1), strict=True)]
    assert torch.equal(found.ids, torch.cat([part.ids for part in parts], 1))
    assert torch.equal(found.quantized, torch.cat([part.quantized for part in parts], -1))
    for name in ("loss", "codebook_loss", "commitment_loss"):
        assert_close(getattr(found, name), sum(getattr(part, name) for part in parts) / 2)


def test_the_draw_is_the_same_in_all_branches_and_for_any_number_of_processes() -> None:
    quantizer, latents = of_the_authors(0, 0).train(), latents_of(0, 0)
    found = quantizer(latents, seeded(5))
    first, second = found.quantized.chunk(2, -1)
    assert torch.equal(first, second)
    worlds = [World(rank, 2) for rank in range(2)]
    shares = [quantizer(world.share(latents), seeded(5), world) for world in worlds]
    assert_close(torch.cat([share.quantized for share in shares]), found.quantized)
    assert_close((shares[0].loss + shares[1].loss) / 2, found.loss)
    assert not torch.equal(quantizer(latents, seeded(6)).quantized, found.quantized)


def test_dropout_changes_what_is_decoded_but_no_id() -> None:
    quantizer, latents = of_the_authors(0).train(), latents_of(0)
    dropped, whole = quantizer(latents, seeded(5)), quantizer.eval()(latents)
    assert torch.equal(dropped.ids, whole.ids)
    changed = (dropped.quantized - whole.quantized).abs().amax((1, 2)) > 1e-4
    assert changed[:3].any()
    assert not changed[3:].any()
    with pytest.raises(ValueError, match="needs a generator"):
        quantizer.train()(latents)


def test_each_scale_uses_the_convolution_next_to_it() -> None:
    assert smoothing_of_scale(6, 4) == tuple(REFERENCE["quantizer.phi_of_scale_6"].tolist())
    assert smoothing_of_scale(10, 4) == tuple(REFERENCE["quantizer.phi_of_scale_10"].tolist())
    assert smoothing_of_scale(3, 4) == (0, 2, 3)
    assert smoothing_of_scale(1, 1) == (0,)


def test_enlarging_is_bicubic_interpolation() -> None:
    config = MultiscaleConfig(scales=(2, 5), branches=1, smoothing_ratio=0, fewest_scales=1)
    branch, ids = config.build(3).branches[0], torch.tensor([[4, 1, 0, 2]])
    codes = branch.embedding[ids].transpose(1, 2).unflatten(2, (2, 2))
    expected = torch.nn.functional.interpolate(codes, (5, 5), mode="bicubic")
    assert_close(branch.enlarge(ids, 0), expected)


def test_grids_and_channels_that_do_not_fit_are_refused() -> None:
    config = MultiscaleConfig(scales=(1, 2, 4), branches=2)
    assert config.ids_per_image(16) == 42
    config.check(8, 16)
    with pytest.raises(ValueError, match=r"49 latents; the last scale must be the side .* \[1, 2, 4\]"):
        config.check(8, 49)
    with pytest.raises(ValueError, match="2 branches do not divide latents of 7 channels"):
        config.check(7, 16)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scales": ()}, "at least 1"),
        ({"scales": (0, 4)}, "at least 1 and must not decrease"),
        ({"scales": (4, 2)}, "at least 1 and must not decrease"),
        ({"scales": (2, 4), "fewest_scales": 3}, "there are 2 scales"),
        ({"dropout": 1.5}, "dropout"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MultiscaleConfig(**settings)


def test_the_loss_falls_when_trained() -> None:
    quantizer = MultiscaleConfig(codebook_size=32, scales=(1, 2, 4), branches=1).build(4)
    latents, optimizer = draw(8, 16, 4), torch.optim.Adam(quantizer.parameters(), 0.03)
    losses = []
    for step in range(40):
        loss = quantizer(latents, seeded(step)).codebook_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
