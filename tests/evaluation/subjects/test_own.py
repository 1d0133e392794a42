"""Somebody's object: what is asked of it, and one line for everything that can be wrong with its answers."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sftok.data.batches import Batch
from sftok.evaluation.entry import check_ids
from sftok.evaluation.reconstruction import evaluate
from sftok.evaluation.subjects.base import Subject, SubjectError
from sftok.evaluation.subjects.own import OwnConfig
from sftok.evaluation.tokenizers import Reconstructor


class Halves:
    """16 levels of the mean of each half of an image."""

    codebook_size = 16

    def encode(self, images: Tensor) -> Tensor:
        return (images.unflatten(3, (2, -1)).mean((1, 2, 4)) * 15).round().int()

    def decode(self, ids: Tensor) -> Tensor:
        return (ids / 15).repeat_interleave(8, 1)[:, None, None].expand(-1, 3, 16, -1)


@pytest.fixture
def open_own(images, monkeypatch) -> Callable[[Any], Subject]:
    """The subject of an object that `built()` returns, for the images of this folder's tests."""

    def open_it(built: Any) -> Subject:
        module = types.ModuleType("somebodys")
        module.build = built  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "somebodys", module)
        return OwnConfig(location="somebodys:build").open().on(images)

    return open_it


def answering(**answers: Any) -> Any:
    """An object whose methods return fixed values, or what a function makes of the argument."""
    methods = {
        name: (lambda self, x, a=answer: a(x) if callable(a) else a) for name, answer in answers.items()
    }
    return lambda: type("Made", (), methods)()


def test_ids_are_flat_and_decoded_in_their_own_shape(open_own, images) -> None:
    shapes = []

    class Grid(Halves):
        def encode(self, images: Tensor) -> Tensor:
            return super().encode(images)[:, None, :]

        def decode(self, ids: Tensor) -> Tensor:
            shapes.append(tuple(ids.shape))
            return super().decode(ids[:, 0])

    subject = open_own(Grid)
    assert subject.measured.encode(images.pixels[:3] / 255).shape == (3, 2)
    assert set(shapes) == {(4, 1, 2)}


def test_its_numbers_are_those_of_its_reconstructions(open_own, images, config, extractor, tmp_path) -> None:
    config = config.model_copy(update={"metrics": (*config.metrics, *rate())})
    found = evaluate(open_own(Halves).measured, images, config, [extractor], tmp_path)
    values = {row["metric"]: row["value"] for row in found.rows}
    assert values["bits_per_image"] == 2 * 4
    own = Halves()
    expected = own.decode(own.encode(images.pixels / 255))
    from sftok.metrics.base import Measured
    from sftok.metrics.psnr import PSNR

    psnr = PSNR()
    psnr.update(Measured(images=expected, originals=images.pixels / 255))
    assert values["psnr"] == pytest.approx(psnr.compute()["psnr"])
    assert "codebook_usage" in values


def rate() -> tuple[Any, ...]:
    from sftok.metrics.rate import RateConfig

    return (RateConfig(),)


def test_latents_are_measured_by_the_bits_of_their_number_format(
    open_own, images, config, extractor, tmp_path
) -> None:
    subject = open_own(answering(encode=lambda x: x[:, :, ::2, ::2].half(), decode=twice))
    assert isinstance(subject.measured, Reconstructor)
    config = config.model_copy(update={"metrics": (*config.metrics, *rate())})
    found = evaluate(subject.measured, images, config, [extractor], tmp_path)
    values = {row["metric"]: row["value"] for row in found.rows}
    assert values["bits_per_image"] == 3 * 8 * 8 * 16
    assert "codebook_usage" not in values


def twice(latents: Tensor) -> Tensor:
    return latents.float().repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_reconstruct_alone_is_enough_and_has_no_bits(open_own, images) -> None:
    subject = open_own(answering(reconstruct=lambda x: x))
    (decoding,) = subject.measured.decodings(None, "it")
    batch = Batch(images.pixels[:2] / 255, images.targets[:2], torch.arange(2))
    decoded = decoding.decode(batch, None)
    assert torch.equal(decoded.images, batch.images)
    assert decoded.bits is None
    assert not decoding.gives_bits


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (
            {"reconstruct": lambda x: x * 2 - 1},
            r"values from -.*; return \(images \+ 1\) / 2, in \[0, 1\]",
        ),
        ({"reconstruct": lambda x: x * 255}, "return images / 255"),
        ({"reconstruct": lambda x: x * 1.5}, r"return images.clamp\(0, 1\)"),
        ({"reconstruct": lambda x: x / 0 * 0}, "NaN or infinite"),
        ({"reconstruct": lambda x: x[..., :8]}, r"returned images \[4, 3, 16, 8\] for \[4, 3, 16, 16\]"),
        ({"reconstruct": lambda x: x[:1]}, "returned 1 images for 4"),
        ({"reconstruct": lambda x: x.permute(0, 2, 3, 1)}, r"must be images \[B, 3, H, W\]"),
        ({"reconstruct": lambda x: (x * 255).byte()}, "they must be float, from 0 to 1"),
        ({"reconstruct": None}, "returned a NoneType"),
        ({"reconstruct": lambda x: 1 / 0}, "reconstruct failed .ZeroDivisionError: division by zero"),
        ({"encode": lambda x: x.long()[:0], "decode": twice}, "the first axis must have their number"),
        ({"encode": lambda x: x.long() - 1, "decode": twice}, "ids from -1 to -1, they must not be negative"),
        ({"forward": twice}, r"cannot be measured; give it encode\(images\) and decode\(ids\)"),
    ],
)
def test_a_wrong_answer_is_one_line_before_anything_is_measured(
    open_own, answers: dict[str, Any], message: str
) -> None:
    with pytest.raises(SubjectError, match=message) as caught:
        open_own(answering(**answers))
    assert "\n" not in str(caught.value)


def test_ids_beyond_the_codebook_are_refused(open_own) -> None:
    class Small(Halves):
        codebook_size = 2

    with pytest.raises(SubjectError, match="outside its codebook_size of 2"):
        open_own(Small)


@pytest.mark.parametrize("size", [0, -1, "8", 2.5])
def test_a_size_that_is_none_is_refused(open_own, size: Any) -> None:
    with pytest.raises(SubjectError, match=r"image_size = .*it must be the side of the images"):
        open_own(lambda: type("Sized", (Halves,), {"image_size": size})())


def test_a_module_that_cannot_be_imported_is_one_line(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "broken_module.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SubjectError, match=r"cannot be imported .*no_such_package"):
        OwnConfig(location="broken_module:build").open()
    with pytest.raises(SubjectError, match="json has no 'build'"):
        OwnConfig(location="json:build").open()


def test_weights_decide_the_identity_wherever_they_hide(open_own) -> None:
    def shifted(by: float) -> Any:
        return answering(reconstruct=lambda x: (x + by).clamp(0, 1))

    assert open_own(shifted(0.1)).identity == open_own(shifted(0.1)).identity
    assert open_own(shifted(0.1)).identity != open_own(shifted(0.2)).identity


def test_a_module_is_put_into_evaluation_mode(open_own) -> None:
    class Model(nn.Module):
        def reconstruct(self, images: Tensor) -> Tensor:
            assert not self.training
            return images

    open_own(Model)


def test_ids_that_depend_on_the_batch_are_reported_with_both(open_own, images) -> None:
    class Ranked(Halves):
        def encode(self, images: Tensor) -> Tensor:
            return super().encode(images) + len(images) - 1

    check_ids(open_own(Halves).measured, images, "fine")
    ranked = open_own(Ranked).measured
    first = Halves().encode(images.pixels[:1] / 255)[0, 0].item()
    with pytest.raises(
        SubjectError, match=rf"token 0 of image 0 is {first} alone and {first + 3} in a batch of 4"
    ):
        check_ids(ranked, images, "ranked")
