from __future__ import annotations

import pytest
import torch

from sftok.io.weights import DamagedFileError, save_tensors
from sftok.models.classifier import Classifier, ClassifierConfig, load_classifier

CONFIG = ClassifierConfig(image_size=16, num_classes=2, channels=(8, 12))


def test_it_learns_to_distinguish_bright_from_dark():
    torch.manual_seed(0)
    classifier, labels = Classifier(CONFIG), torch.arange(32) % 2
    images = (torch.rand(32, 3, 16, 16) + labels[:, None, None, None]) / 2
    assert classifier.features(images).shape == (32, 12)
    optimizer = torch.optim.AdamW(classifier.parameters(), 1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(classifier(images), labels).backward()
        assert all(parameter.grad is not None for parameter in classifier.parameters())
        optimizer.step()
    assert (classifier.eval()(images).argmax(1) == labels).all()


def test_a_saved_classifier_is_loaded_in_evaluation_mode_and_other_files_are_refused(tmp_path):
    classifier, path = Classifier(CONFIG), tmp_path / "model.safetensors"
    metadata, images = {"config": CONFIG.model_dump_json()}, torch.rand(2, 3, 16, 16)
    save_tensors(path, classifier.state_dict(), metadata)
    assert torch.equal(load_classifier(path)(images), classifier.eval()(images))
    assert not load_classifier(path).training
    for given in ({}, metadata):
        save_tensors(path, {"weight": torch.zeros(2)}, given)
        with pytest.raises(DamagedFileError, match="holds no classifier"):
            load_classifier(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedFileError, match="safetensors"):
        load_classifier(path)
