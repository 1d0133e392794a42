"""Measuring an image set: the same images for every tokenizer, and no number depends on the threads."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from sftok.analysis.base import AnalysisConfig, Statistic
from sftok.analysis.contexts import ContextsConfig
from sftok.analysis.running import Number
from sftok.analysis.steps import StepsConfig
from sftok.components import _import_all
from sftok.config import ConfigError
from sftok.data.base import MemoryImageSet
from sftok.evaluation.config import EvaluationConfig
from sftok.metrics.quantity import Quantity
from sftok.models.tokenizer import SFTok
from sftok.teacher.vqgan import MaskGITVQGAN

_import_all(AnalysisConfig.package)
ANALYSES = sorted(name for name in AnalysisConfig.members if ":" not in name)


class Seen:
    """Keeps the codes that it is shown."""

    def __init__(self) -> None:
        self.codes: list[Tensor] = []

    def update(self, tokenizer: SFTok, ids: Tensor, codes: Tensor, generator: torch.Generator) -> None:
        self.codes.append(codes)

    def merge(self, other: Seen) -> None:
        self.codes += other.codes

    def compute(self) -> list[Number]:
        return [Number("first_code", {"batch": i}, int(codes[0, 0])) for i, codes in enumerate(self.codes)]


class SeenConfig(AnalysisConfig):
    quantities = (Quantity(name="first_code", label="First code", meaning="of a batch"),)

    def build(self) -> Statistic:
        return Seen()


@pytest.fixture
def image_set() -> MemoryImageSet:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (12, 3, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.tensor([0] * 8 + [1] * 4)
    return MemoryImageSet(name="made up", pixels=pixels, targets=labels, class_names=("a", "b"))


@pytest.fixture
def subjects(
    tokenizer: SFTok, teacher: MaskGITVQGAN, image_set: MemoryImageSet
) -> tuple[SFTok, MaskGITVQGAN, MemoryImageSet]:
    return tokenizer, teacher, image_set


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_images_are_the_first_of_each_class(subjects, teacher, image_set):
    found = SeenConfig(images=6, batch_size=4).measure(*subjects)
    chosen = image_set.images(torch.tensor([0, 8, 1, 9, 2, 10])).float() / 255
    codes = teacher.encode(chosen)
    assert [row["value"] for row in found.rows] == [codes[0, 0].item(), codes[4, 0].item()]
    assert found.rows[0] == {
        "subject": "tokenizer",
        "metric": "first_code",
        "extractor": "",
        "value": codes[0, 0].item(),
        "n_images": 6,
        "batch": 0,
    }


def test_a_small_set_is_shown_whole_and_progress_ends_at_one(subjects):
    said: list[float] = []
    found = SeenConfig(batch_size=5).measure(*subjects, said.append)
    assert {row["n_images"] for row in found.rows} == {12}
    assert said == sorted(said)
    assert said[-1] == 1.0


@pytest.mark.parametrize("name", ANALYSES)
def test_every_number_is_described_and_its_protocol_names_the_settings(name, subjects, image_set):
    config = AnalysisConfig.find(name)(images=10, batch_size=5)
    found = config.measure(*subjects)
    assert {row["metric"] for row in found.rows} == found.metrics.keys()
    assert json.loads(json.dumps(found.result())) == found.result()
    other = AnalysisConfig.find(name)(images=10, batch_size=5, seed=1).measure(*subjects)
    assert found.protocol.data == image_set.fingerprint
    assert found.protocol.fingerprint != other.protocol.fingerprint


@pytest.mark.parametrize("name", ANALYSES)
@pytest.mark.usefixtures("threads")
def test_the_number_of_threads_changes_no_bit_and_the_seed_changes_the_draws(name, subjects):
    config = AnalysisConfig.find(name)(images=12, batch_size=3)
    found = []
    for count in (1, 3):
        torch.set_num_threads(count)
        found.append(config.measure(*subjects).rows)
    assert found[0] == found[1]
    assert config.model_copy(update={"seed": 1}).measure(*subjects).rows != found[0]


def test_an_analysis_is_fitted_to_the_evaluation_of_its_tokenizer():
    evaluation = EvaluationConfig(temperature=0.5, schedule="linear")
    steps = StepsConfig().fitted(evaluation, single_step=True)
    assert (steps.temperature, steps.schedule) == (0.5, "linear")
    assert ContextsConfig().fitted(evaluation, single_step=True).contexts == ("single",)
    assert ContextsConfig().fitted(evaluation, single_step=False) == ContextsConfig()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        *[({"visible_fractions": given}, "visible_fractions") for given in ((0.0,), (1.0,), (0.5, 0.5), ())],
        ({"contexts": ("single", "owns")}, "contexts"),
    ],
)
def test_settings_that_measure_nothing_are_refused(values, message):
    with pytest.raises((ConfigError, ValueError), match=message):
        ContextsConfig(**values)
