"""Showing images to a statistic: the same ones for every tokenizer, and no number depends on the threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import small_models
import torch
from torch import Tensor

from sftok.analysis.config import AnalysisConfig
from sftok.analysis.context import ContextGaps
from sftok.analysis.measure import measure
from sftok.data.base import MemoryImageSet
from sftok.models.tokenizer import SFTok
from sftok.teacher.vqgan import MaskGITVQGAN


class Seen:
    """Keeps the codes that it is shown."""

    def __init__(self) -> None:
        self.codes: list[Tensor] = []

    def update(self, tokenizer: SFTok, ids: Tensor, codes: Tensor, generator: torch.Generator) -> None:
        self.codes.append(codes)

    def merge(self, other: Seen) -> None:
        self.codes += other.codes


@pytest.fixture
def tokenizer() -> SFTok:
    return SFTok.from_config(small_models.smaller_sftok_config())


@pytest.fixture
def teacher() -> MaskGITVQGAN:
    return MaskGITVQGAN(small_models.smaller_sftok_config().pixel_decoder, 8)


@pytest.fixture
def image_set() -> MemoryImageSet:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (12, 3, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.tensor([0] * 8 + [1] * 4)
    return MemoryImageSet(name="made up", pixels=pixels, targets=labels, class_names=("a", "b"))


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_images_are_the_first_of_each_class(
    tokenizer: SFTok, teacher: MaskGITVQGAN, image_set: MemoryImageSet
) -> None:
    config = AnalysisConfig(images=6, batch_size=4)
    found, images = measure(Seen, tokenizer, teacher, image_set, config)
    assert images == 6
    chosen = image_set.images(torch.tensor([0, 8, 1, 9, 2, 10])).float() / 255
    assert torch.equal(torch.cat(found.codes), teacher.eval().encode(chosen))


def test_a_small_set_is_shown_whole_and_progress_ends_at_one(
    tokenizer: SFTok, teacher: MaskGITVQGAN, image_set: MemoryImageSet
) -> None:
    said: list[float] = []
    _, images = measure(Seen, tokenizer, teacher, image_set, AnalysisConfig(batch_size=5), said.append)
    assert images == 12
    assert said == sorted(said)
    assert said[-1] == 1.0


@pytest.mark.usefixtures("threads")
def test_the_number_of_threads_changes_no_bit(
    tokenizer: SFTok, teacher: MaskGITVQGAN, image_set: MemoryImageSet
) -> None:
    config = AnalysisConfig(images=12, batch_size=3)
    found = []
    for count in (1, 3):
        torch.set_num_threads(count)
        found.append(measure(ContextGaps, tokenizer, teacher, image_set, config)[0].compute())
    assert found[0] == found[1]


def test_another_seed_masks_other_positions(
    tokenizer: SFTok, teacher: MaskGITVQGAN, image_set: MemoryImageSet
) -> None:
    one, other = (
        measure(ContextGaps, tokenizer, teacher, image_set, AnalysisConfig(seed=seed))[0].compute()
        for seed in (0, 1)
    )
    assert one != other


@pytest.mark.parametrize("fractions", [(0.0,), (1.0,), (0.5, 0.5), ()])
def test_fractions_that_measure_nothing_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="visible_fractions"):
        AnalysisConfig(visible_fractions=fractions)
