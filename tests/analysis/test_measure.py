"""Measuring an image set: the same images for every tokenizer, and no number depends on the threads."""

from __future__ import annotations

import dataclasses
import json

import pytest
import small_models
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
from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.tokenizers.sftok import SFTok

_import_all(AnalysisConfig.package)
SMALLER = small_models.smaller_sftok_config()
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
    return dataclasses.replace(small_models.image_set(12, 8), targets=torch.tensor([0] * 8 + [1] * 4))


@pytest.fixture
def subjects(tokenizer, teacher, image_set) -> tuple[SFTok, MaskGITVQGAN, MemoryImageSet]:
    return tokenizer, teacher, image_set


@pytest.fixture
def tokenizer() -> SFTok:
    return SFTok.from_config(SMALLER).eval()


@pytest.fixture
def teacher() -> MaskGITVQGAN:
    return MaskGITVQGAN(SMALLER.pixel_decoder, 8)


def test_the_images_are_the_first_of_each_class_and_a_number_is_a_row(subjects, teacher, image_set):
    found = SeenConfig(images=6, batch_size=4).measure(*subjects)
    chosen = image_set.images(torch.tensor([0, 8, 1, 9, 2, 10])).float() / 255
    codes = teacher.encode(chosen)[:, 0].tolist()
    assert [row["value"] for row in found.rows] == [codes[0], codes[4]]
    row = {"subject": "tokenizer", "metric": "first_code", "extractor": "", "n_images": 6, "batch": 0}
    assert found.rows[0] == {**row, "value": codes[0]}


def test_a_small_set_is_shown_whole_and_progress_ends_at_one(subjects):
    said: list[float] = []
    found = SeenConfig(batch_size=5).measure(*subjects, said.append)
    assert {row["n_images"] for row in found.rows} == {12}
    assert said == sorted(said)
    assert said[-1] == 1.0


@pytest.mark.parametrize("name", ANALYSES)
@pytest.mark.usefixtures("threads")
def test_numbers_depend_on_the_seed_and_not_on_threads_and_describe_themselves(name, subjects, image_set):
    config = AnalysisConfig.find(name)(images=12, batch_size=3)
    torch.set_num_threads(1)
    found = config.measure(*subjects)
    torch.set_num_threads(3)
    assert config.measure(*subjects).rows == found.rows
    other = config.model_copy(update={"seed": 1}).measure(*subjects)
    assert other.rows != found.rows
    assert other.protocol.fingerprint != found.protocol.fingerprint
    assert found.protocol.data == image_set.fingerprint
    assert {row["metric"] for row in found.rows} == found.metrics.keys()
    assert json.loads(json.dumps(found.result())) == found.result()


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
