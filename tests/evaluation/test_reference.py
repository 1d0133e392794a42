from __future__ import annotations

import dataclasses
import logging

import pytest
import torch

from sftok.evaluation.reference import reference_features, teacher_codes


def test_features_are_computed_once_and_then_read(extractor, tiny, images, tmp_path):
    first = reference_features(extractor, images, tmp_path / "cache", 16)
    assert tiny.seen == len(images)
    second = reference_features(extractor, images, tmp_path / "cache", 7)
    assert tiny.seen == len(images)
    assert second.inception_score == first.inception_score
    for name in ("features", "mean", "covariance"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    torch.testing.assert_close(first.features, extractor(images.pixels).features)
    torch.testing.assert_close(first.covariance, first.features.double().T.cov())


def test_any_other_content_gets_another_file(extractor, images, make_images, tmp_path):
    reference_features(extractor, images, tmp_path, 16)
    reference_features(dataclasses.replace(extractor, weights="1" * 64), images, tmp_path, 16)
    reference_features(dataclasses.replace(extractor, label="other"), images, tmp_path, 16)
    reference_features(extractor, make_images(seed=5), tmp_path, 16)
    fewer = dataclasses.replace(images, pixels=images.pixels[:30], targets=images.targets[:30])
    assert len(reference_features(extractor, fewer, tmp_path, 16).features) == 30
    assert len(list(tmp_path.iterdir())) == 5


def test_a_feature_space_without_logits_has_no_inception_score(without_logits, images, tmp_path):
    for _ in ("computed", "read"):
        found = reference_features(without_logits, images, tmp_path, 16)
        assert found.inception_score is None
        assert found.provides == {"features", "reference_features"}


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-3], lambda data: b"", lambda data: data[:-1] + b"\x01"]
)
def test_a_damaged_file_is_computed_again_with_a_warning(extractor, tiny, images, tmp_path, damage, caplog):
    first = reference_features(extractor, images, tmp_path, 16)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        second = reference_features(extractor, images, tmp_path, 16)
    assert path.name in caplog.text
    assert "computing it again" in caplog.text
    assert torch.equal(first.features, second.features)
    assert tiny.seen == 2 * len(images)
    reference_features(extractor, images, tmp_path, 16)
    assert tiny.seen == 2 * len(images)


def test_the_teachers_codes_are_computed_once(teacher, images, tmp_path, monkeypatch):
    codes = teacher_codes(teacher, images, tmp_path, 16)
    assert codes.dtype == torch.int64
    assert torch.equal(codes, teacher.encode(images.pixels / 255))
    assert codes.unique().numel() > 1
    with monkeypatch.context() as patched:
        patched.setattr(teacher, "encode", lambda images: pytest.fail("encoded again"))
        assert torch.equal(teacher_codes(teacher, images, tmp_path, 16), codes)
    teacher.encoder.conv_in.weight.data.mul_(2)
    teacher_codes(teacher, images, tmp_path, 16)
    assert len(list(tmp_path.iterdir())) == 2
