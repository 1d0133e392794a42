from __future__ import annotations

import pytest
import torch

from sftok.evaluation.config import EvaluationError
from sftok.evaluation.pixels import to_uint8
from sftok.evaluation.protocol import Evaluation, Protocol
from sftok.evaluation.reconstruction import evaluate
from sftok.evaluation.reference import SetReference, reference_features
from sftok.io.published import PretrainedError
from sftok.io.weights import content_hash
from sftok.metrics import lpips
from sftok.metrics.base import Measured
from sftok.metrics.fid import FrechetDistance, RFIDConfig
from sftok.metrics.kid import KIDConfig
from sftok.metrics.label_agreement import LabelAgreementConfig
from sftok.metrics.lpips import LPIPSConfig
from sftok.metrics.psnr import PSNR
from sftok.models.autoencoders.ldm import LDMConfig
from sftok.quantizers.identity import IdentityConfig
from sftok.tokenizers.pixel import PixelTokenizer, PixelTokenizerConfig


def values(evaluation: Evaluation) -> dict[tuple[int | None, str, str], float]:
    return {(row.get("steps"), row["metric"], row["extractor"]): row["value"] for row in evaluation.rows}


def first_of_class_0(images) -> int:
    """The place of the first example."""
    return int((images.targets == 0).nonzero()[0])


def test_every_metric_at_every_number_of_steps(reconstruct, config, images):
    found = reconstruct()
    expected = {(None, f"codebook_{what}", "") for what in ("usage", "entropy", "perplexity")}
    for steps in config.steps:
        expected |= {(steps, metric, "") for metric in ("psnr", "ssim", "code_accuracy")}
        expected |= {(steps, metric, "classifier") for metric in ("rfid", "is")}
    assert values(found).keys() == expected
    assert {(row["subject"], row["n_images"]) for row in found.rows} == {("tokenizer", len(images))}
    assert {row["temperature"] for row in found.rows if "steps" in row} == {2.0}


def test_the_decoder_computes_in_the_chosen_precision_and_bf16_is_close(reconstruct, tokenizer):
    seen, found = [], {}
    tokenizer.decoder.register_forward_hook(lambda _, given, logits: seen.append(logits.dtype))
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        evaluation = reconstruct(precision=precision, temperature=0.0)
        assert {seen.pop() for _ in range(len(seen))} == {dtype}
        assert evaluation.protocol.precision == precision
        found[precision] = values(evaluation)[1, "psnr", ""]
    assert found["bf16"] == pytest.approx(found["fp32"], rel=0.05)


def test_a_number_at_one_t_does_not_depend_on_the_other_t(reconstruct):
    everything, alone = values(reconstruct()), values(reconstruct(steps=(3,)))
    assert alone.items() <= everything.items()


def test_the_seed_matters_only_where_there_is_noise(reconstruct):
    first, second = values(reconstruct()), values(reconstruct(seed=1))
    assert first[3, "psnr", ""] != second[3, "psnr", ""]
    assert first[1, "psnr", ""] == second[1, "psnr", ""]  # the last step, here the only one, has no noise
    assert values(reconstruct(temperature=0.0)) == values(reconstruct(temperature=0.0, seed=1))


def test_numbers_and_examples_are_those_of_the_tokenizers_own_reconstruction(
    reconstruct, config, tokenizer, images, extractor, tmp_path
):
    found, originals = reconstruct(temperature=0.0), images.pixels / 255
    decoding = config.model_copy(update={"temperature": 0.0}).decoding(3)
    reconstructed = tokenizer.reconstruct(originals, decoding, torch.Generator())
    features = {"classifier": extractor(to_uint8(reconstructed))}
    batch = Measured(originals=originals, images=reconstructed, features=features)
    for metric in (PSNR(), FrechetDistance(reference_features(extractor, images, tmp_path, 16), "rfid")):
        metric.update(batch)
        for name, value in metric.compute().items():
            assert values(found)[3, name, metric.extractor] == pytest.approx(value, rel=1e-4)
    place = first_of_class_0(images)
    assert found.examples["T3"][0] == pytest.approx(to_uint8(reconstructed[place]).numpy().astype(int), abs=1)
    assert (found.examples["original"][0] == images.pixels[place].numpy()).all()
    assert found.examples["labels"][:4].tolist() == [0, 1, 2, 3]
    strips = {name: strip for name, strip in found.examples.items() if name not in ("labels", "class_names")}
    assert strips.keys() == {"original", "T1", "T3"}
    assert {(strip.shape, str(strip.dtype)) for strip in strips.values()} == {((16, 3, 16, 16), "uint8")}


def test_soft_lookup_decodes_expected_embeddings(reconstruct):
    hard, soft = reconstruct(), reconstruct(final_lookup="soft")
    assert values(hard)[3, "psnr", ""] != values(soft)[3, "psnr", ""]
    assert values(hard)[3, "code_accuracy", ""] == values(soft)[3, "code_accuracy", ""]


def test_a_tokenizer_without_steps_is_measured_once_beside_the_real_images(
    teacher, images, config, extractor, tmp_path
):
    found = evaluate(teacher, images, config, [extractor], tmp_path, subject="teacher", include_real=True)
    codebook = {"codebook_usage", "codebook_entropy", "codebook_perplexity"}
    assert {row["metric"] for row in found.rows} == {"rfid", "is", "psnr", "ssim"} | codebook
    assert not any({"steps", "temperature"} & row.keys() for row in found.rows)
    (real,) = (row for row in found.rows if row["subject"] == "real")
    score = reference_features(extractor, images, tmp_path, 16).inception_score
    assert (real["metric"], real["extractor"], real["value"]) == ("is", "classifier", score)
    assert found.examples.keys() >= {"original", "teacher"}
    reconstructed = teacher.decode(teacher.encode(images.pixels / 255))
    expected = to_uint8(reconstructed[first_of_class_0(images)]).numpy().astype(int)
    assert found.examples["teacher"][0] == pytest.approx(expected, abs=1)


def test_a_continuous_tokenizer_has_no_numbers_of_ids(images, config, extractor, tmp_path):
    autoencoder = LDMConfig(hidden_channels=4, channel_multipliers=(1, 1), num_res_blocks=1, norm_groups=2)
    parts = {"autoencoder": autoencoder, "quantizer": IdentityConfig(), "latent_dim": 3}
    tokenizer = PixelTokenizer(PixelTokenizerConfig(image_size=16, **parts))
    found = evaluate(tokenizer, images, config, [extractor], tmp_path, subject="pixels")
    assert {row["metric"] for row in found.rows} == {"rfid", "is", "psnr", "ssim"}
    reconstructed = tokenizer.decode(tokenizer.encode(images.pixels / 255))
    place = first_of_class_0(images)
    expected = to_uint8(reconstructed[place]).numpy().astype(int)
    assert found.examples["pixels"][0] == pytest.approx(expected, abs=1)


def test_a_single_step_tokenizer_is_measured_as_one_step(
    teacher, images, config, extractor, tmp_path, monkeypatch
):
    monkeypatch.setattr(teacher, "single_step", True, raising=False)
    found = evaluate(teacher, images, config, [extractor], tmp_path)
    assert {row.get("steps") for row in found.rows if row["metric"] == "psnr"} == {1}
    assert "T1" in found.examples


def test_without_the_teacher_no_codes_are_compared(reconstruct):
    found, full = reconstruct(teacher=None), reconstruct()
    assert values(full).keys() - values(found).keys() == {(steps, "code_accuracy", "") for steps in (1, 3)}
    assert all(values(full)[key] == value for key, value in values(found).items())


def test_a_feature_space_without_logits_gives_no_inception_score(
    tokenizer, images, config, without_logits, tmp_path
):
    found = evaluate(tokenizer, images, config, [without_logits], tmp_path, include_real=True)
    assert {row["metric"] for row in found.rows if row["extractor"]} == {"rfid"}


def test_another_reference_may_be_smaller_and_its_labels_are_not_those_of_the_originals(
    reconstruct, make_images
) -> None:
    fewer = SetReference(make_images(20, seed=1))
    metrics = (RFIDConfig(), LabelAgreementConfig())
    found = reconstruct(other_reference=fewer, metrics=metrics)
    assert {row["metric"] for row in found.rows} == {"rfid"}
    assert "label_agreement" in {row["metric"] for row in reconstruct(metrics=metrics).rows}


def test_the_weights_and_the_settings_of_metrics_are_part_of_the_protocol(reconstruct, monkeypatch):
    found = [reconstruct().protocol]
    assert found[0].metrics == {}
    for bias in (0.0, 1.0):
        network = torch.nn.Linear(2, 2)
        torch.nn.init.constant_(network.bias, bias)
        monkeypatch.setattr(lpips, "lpips_network", lambda net, network=network: network)
        monkeypatch.setattr(lpips.LPIPS, "per_image", lambda self, batch: batch.images[:, 0, 0, 0])
        found.append(reconstruct(metrics=(LPIPSConfig(),)).protocol)
        assert found[-1].extractors["lpips"] == content_hash(network.state_dict())
    assert len({protocol.fingerprint for protocol in found}) == 3
    assert reconstruct(metrics=(KIDConfig(subset_size=20),)).protocol.metrics == {"kid": {"subset_size": 20}}


def test_the_fingerprint_is_of_everything():
    protocol = Protocol(extractors={"classifier": "a"}, data="b", n_images=3, precision="fp32")
    assert protocol.record()["fingerprint"] == protocol.fingerprint
    changes = [{"extractors": {"classifier": "z"}}, {"data": "z"}, {"n_images": 4}, {"rounding": "rounded"}]
    prints = {protocol.model_copy(update=change).fingerprint for change in [{}, *changes]}
    assert len(prints) == 5


def test_lpips_without_weights_is_refused_before_any_work(reconstruct, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(PretrainedError, match=r"LPIPS \(alex\): no weights at"):
        reconstruct(metrics=(LPIPSConfig(),))
    assert not list(tmp_path.iterdir())


def test_a_model_that_has_diverged_gives_no_numbers(reconstruct, tokenizer):
    tokenizer.pixel_decoder.codebook.data.fill_(torch.nan)
    with pytest.raises(EvaluationError, match="not finite"):
        reconstruct()


def test_one_image_is_too_few(tokenizer, make_images, config, extractor, tmp_path):
    with pytest.raises(EvaluationError, match="rfid needs at least two images, it has 1"):
        evaluate(tokenizer, make_images(1), config, [extractor], tmp_path)
