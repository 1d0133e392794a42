from __future__ import annotations

import pytest
import torch
from torchvision.models import alexnet

from sftok.evaluation.config import EvaluationError
from sftok.evaluation.metrics import Reconstructions
from sftok.evaluation.perceptual import LPIPS, load_alexnet_lpips


def batch(side: int) -> Reconstructions:
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    codes = torch.zeros(2, 4, dtype=torch.int64)
    return Reconstructions(originals=images, images=images.flip(3), codes=codes, teacher_codes=codes)


def test_missing_weights_are_named_and_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(EvaluationError, match=r"no AlexNet weights at .*; fetch https://"):
        load_alexnet_lpips()


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "alexnet.pth"
    path.write_bytes(b"nothing")
    with pytest.raises(EvaluationError, match="damaged or not AlexNet's"):
        load_alexnet_lpips(path)


def test_given_weights_are_put_where_they_belong(tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        source = alexnet(weights=None)
    path = tmp_path / "alexnet.pth"
    state = torch.random.get_rng_state()
    torch.save({name: value for name, value in source.state_dict().items() if "features" in name}, path)
    network = load_alexnet_lpips(path)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(network.net.slice5[0].weight, source.features[10].weight)
    metric = LPIPS(network)
    metric.update(batch(40))
    assert metric.compute()["lpips"] > 0
    same = batch(40)
    values = metric.per_image(
        Reconstructions(
            originals=same.images, images=same.images, codes=same.codes, teacher_codes=same.teacher_codes
        )
    )
    assert values.tolist() == [0.0, 0.0]
    with pytest.raises(EvaluationError, match="32 pixels"):
        metric.update(batch(28))
