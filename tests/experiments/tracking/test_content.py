"""What MLflow is told of a row."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from stored_runs import SPECS, StoreMaker

from experiments.tracking import content
from sftok.decoding.guidance import GenerationConfig


def test_the_strip_has_a_line_for_each_entry(tmp_path: Path) -> None:
    images = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    np.savez(
        tmp_path / "examples.npz",
        original=images,
        labels=np.zeros(len(images), int),
        class_names=np.array(["a"]),
        T1=images + 1,
    )
    picture = content.strip(tmp_path / "examples.npz")
    assert picture.shape == (8, 10, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[4:, 5:], images[1].transpose(1, 2, 0) + 1)


def test_a_damaged_strip_is_a_value_error(tmp_path: Path) -> None:
    (tmp_path / "examples.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ValueError, match="damaged"):
        content.strip(tmp_path / "examples.npz")


def test_the_chosen_guidance_is_a_tag(tmp_path: Path) -> None:
    chosen = GenerationConfig(guidance_schedule="linear", guidance_scale=2.0, temperature=0.5).model_dump()
    maker = StoreMaker(tmp_path)
    run = maker.run(SPECS["table2"], seeds=(0,))
    row = next(each for each in run.rows if run.input_of(each.evaluation, "guidance"))
    name = run.input_of(row.evaluation, "guidance")
    found = run.results[name].model_copy(update={"chosen": chosen})
    tags = content.tags(replace(run, results={**run.results, name: found}), row)
    assert json.loads(tags["sftok.guidance"]) == {
        "guidance_schedule": "linear",
        "guidance_scale": 2.0,
        "temperature": 0.5,
    }
    maker.close()
