from __future__ import annotations

import pytest
import torch

from sftok.evaluation.classifier import Classifier, ClassifierConfig, load_classifier
from sftok.evaluation.config import EvaluationError
from sftok.weights import DamagedFileError, save_tensors

CONFIG = ClassifierConfig(image_size=16, num_classes=4, channels=(8, 12))


def test_shapes_and_gradients():
    classifier = Classifier(CONFIG)
    logits = classifier(torch.rand(3, 3, 16, 16))
    assert logits.shape == (3, 4)
    assert classifier.features(torch.rand(3, 3, 16, 16)).shape == (3, 12)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in classifier.parameters())


def test_it_learns_to_distinguish_bright_from_dark():
    torch.manual_seed(0)
    classifier = Classifier(ClassifierConfig(image_size=16, num_classes=2, channels=(8, 8)))
    labels = torch.arange(32) % 2
    images = (torch.rand(32, 3, 16, 16) + labels[:, None, None, None]) / 2
    optimizer = torch.optim.AdamW(classifier.parameters(), 1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(classifier(images), labels).backward()
        optimizer.step()
    assert (classifier.eval()(images).argmax(1) == labels).all()


def test_a_saved_classifier_is_loaded_in_evaluation_mode(tmp_path):
    classifier = Classifier(CONFIG)
    path = tmp_path / "model.safetensors"
    save_tensors(path, classifier.state_dict(), {"config": CONFIG.model_dump_json()})
    read = load_classifier(path)
    images = torch.rand(2, 3, 16, 16)
    assert not read.training
    assert torch.equal(read(images), classifier.eval()(images))


def test_files_that_hold_no_classifier_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_tensors(path, {"weight": torch.zeros(2)})
    with pytest.raises(EvaluationError, match="holds no classifier"):
        load_classifier(path)
    save_tensors(path, {"weight": torch.zeros(2)}, {"config": CONFIG.model_dump_json()})
    with pytest.raises(EvaluationError, match="holds no classifier"):
        load_classifier(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedFileError, match="safetensors"):
        load_classifier(path)
