from __future__ import annotations

import pytest
import torch

from sftok.evaluation import bench
from sftok.evaluation.config import EvaluationConfig, EvaluationError, ExtractorConfig
from sftok.evaluation.fidelity import Fidelity, to_uint8
from sftok.evaluation.metrics import PSNR, Reconstructions
from sftok.evaluation.protocol import Evaluation, Protocol, evaluate, evaluate_real, evaluate_teacher
from sftok.evaluation.reference import reference_features
from sftok.pretrained import PretrainedError
from sftok.weights import content_hash


def values(evaluation: Evaluation) -> dict[tuple[int | None, str, str], float]:
    return {(row.steps, row.metric, row.extractor): row.value for row in evaluation.rows}


@pytest.fixture
def run(tokenizer, teacher, images, extractor, tmp_path):
    def run(config: EvaluationConfig, **changes) -> Evaluation:
        return evaluate(tokenizer, teacher, images, config, [extractor], tmp_path, **changes)

    return run


def test_every_metric_at_every_number_of_steps(run, config, images):
    found = run(config)
    expected = {(None, f"codebook_{what}", "") for what in ("usage", "entropy", "perplexity")}
    for steps in config.steps:
        expected |= {(steps, metric, "") for metric in ("psnr", "ssim", "code_accuracy")}
        expected |= {(steps, metric, "classifier") for metric in ("rfid", "is")}
    assert values(found).keys() == expected
    assert {row.n_images for row in found.rows} == {len(images)}
    assert {row.temperature for row in found.rows if row.steps} == {2.0}


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_decoders_passes_are_of_the_configurations_precision(run, config, tokenizer, precision, dtype):
    seen = set()
    tokenizer.decoder.register_forward_hook(lambda _, given, logits: seen.add(logits.dtype))
    found = run(config.model_copy(update={"precision": precision}))
    assert seen == {dtype}
    assert found.protocol.precision == precision


def test_the_same_seed_gives_the_same_bits_whatever_the_threads_and_other_steps(run, config):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        first = values(run(config))
        torch.set_num_threads(3)
        second = values(run(config))
        alone = values(run(config.model_copy(update={"steps": (3,)})))
    finally:
        torch.set_num_threads(before)
    assert first == second
    assert all(first[key] == value for key, value in alone.items())


def test_global_random_state_is_neither_read_nor_changed(run, config):
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = values(run(config))
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    assert values(run(config)) == first


def test_seed_matters_only_where_there_is_noise(run, config):
    other = config.model_copy(update={"seed": 1})
    first, second = values(run(config)), values(run(other))
    assert first[3, "psnr", ""] != second[3, "psnr", ""]
    assert first[1, "psnr", ""] == second[1, "psnr", ""]  # the last step, here the only one, has no noise
    still = {"temperature": 0.0}
    assert values(run(config.model_copy(update=still))) == values(run(other.model_copy(update=still)))


def test_numbers_are_those_of_the_tokenizers_own_reconstruction(
    run, config, tokenizer, images, extractor, tmp_path
):
    found = run(config.model_copy(update={"temperature": 0.0}))
    originals = images.pixels / 255
    decoding = config.model_copy(update={"temperature": 0.0}).decoding(3)
    reconstructed = tokenizer.reconstruct(originals, decoding, torch.Generator())
    codes = torch.zeros(len(originals), 1, dtype=torch.int64)
    batch = Reconstructions(
        originals=originals,
        images=reconstructed,
        codes=codes,
        teacher_codes=codes,
        features={"classifier": extractor(to_uint8(reconstructed))},
    )
    for metric in (PSNR(), Fidelity(reference_features(extractor, images, tmp_path, 16))):
        metric.update(batch)
        for name, value in metric.compute().items():
            assert values(found)[3, name, metric.extractor] == pytest.approx(value, rel=1e-4)
    place = (images.targets == 0).nonzero()[0].item()
    off_by = found.examples["T3"][0].astype(int) - to_uint8(reconstructed[place]).numpy().astype(int)
    assert abs(off_by).max() <= 1


def test_soft_lookup_decodes_expected_embeddings(run, config):
    hard, soft = run(config), run(config.model_copy(update={"final_lookup": "soft"}))
    assert values(hard)[3, "psnr", ""] != values(soft)[3, "psnr", ""]
    assert values(hard)[3, "code_accuracy", ""] == values(soft)[3, "code_accuracy", ""]


def test_bf16_is_close_and_another_protocol(run, config):
    still = config.model_copy(update={"temperature": 0.0})
    fast = run(still.model_copy(update={"precision": "bf16"}))
    exact = run(still)
    assert values(fast)[1, "psnr", ""] == pytest.approx(values(exact)[1, "psnr", ""], rel=0.05)
    assert fast.protocol.fingerprint != exact.protocol.fingerprint


def test_examples_are_uint8_strips_by_name(run, config, images):
    found = run(config)
    assert found.examples.keys() == {"original", "T1", "T3"}
    for strip in found.examples.values():
        assert strip.shape == (16, 3, 16, 16)
        assert strip.dtype == "uint8"
    assert (found.examples["original"][0] == images.pixels[images.targets == 0][0].numpy()).all()


def test_progress_rises_to_one(run, config):
    seen: list[float] = []
    run(config, on_progress=seen.append)
    assert seen == sorted(seen)
    assert 0 < seen[0] < 1
    assert seen[-1] == 1
    assert len(seen) > 8


def test_the_teacher_bounds_code_metrics(teacher, images, config, extractor, tmp_path):
    found = evaluate_teacher(teacher, images, config, [extractor], tmp_path)
    assert {row.metric for row in found.rows} >= {"rfid", "is", "psnr", "ssim", "codebook_usage"}
    assert {row.steps for row in found.rows} == {None}
    assert found.examples.keys() == {"original", "teacher"}
    reconstructed = teacher.decode(teacher.encode(images.pixels / 255))
    place = (images.targets == 0).nonzero()[0].item()
    off_by = found.examples["teacher"][0].astype(int) - to_uint8(reconstructed[place]).numpy().astype(int)
    assert abs(off_by).max() <= 1


def test_the_weights_of_lpips_are_part_of_the_protocol(images, config, extractor, tmp_path, monkeypatch):
    config = config.model_copy(update={"extra_metrics": ("lpips",)})
    found = []
    for bias in (0.0, 1.0):
        network = torch.nn.Linear(2, 2)
        torch.nn.init.constant_(network.bias, bias)
        monkeypatch.setattr(bench, "lpips_network", lambda net, network=network: network)
        protocol = evaluate_real(images, config, [extractor], tmp_path).protocol
        assert protocol.extractors["lpips"] == content_hash(network.state_dict())
        found.append(protocol.fingerprint)
    assert found[0] != found[1]


def test_real_images_have_an_inception_score_and_the_same_protocol(run, images, config, extractor, tmp_path):
    found = evaluate_real(images, config, [extractor], tmp_path)
    assert [(row.steps, row.metric) for row in found.rows] == [(None, "is")]
    assert found.rows[0].value == reference_features(extractor, images, tmp_path, 16).inception_score
    assert found.protocol == run(config).protocol


def test_the_fingerprint_is_of_everything():
    protocol = Protocol(extractors={"classifier": "a"}, data="b", n_images=3, precision="fp32")
    assert protocol.record()["fingerprint"] == protocol.fingerprint
    changes = [{"extractors": {"classifier": "z"}}, {"data": "z"}, {"n_images": 4}, {"rounding": "rounded"}]
    prints = {protocol.model_copy(update=change).fingerprint for change in [{}, *changes]}
    assert len(prints) == 5


def test_extractors_that_were_not_asked_for_are_refused(run, config):
    asked = (ExtractorConfig(name="efficientnet-lite0"),)
    with pytest.raises(
        EvaluationError, match=r"asks for \['efficientnet-lite0@64'\], given are \['classifier'\]"
    ):
        run(config.model_copy(update={"extractors": asked}))


def test_lpips_without_weights_is_refused_before_any_work(run, config, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(PretrainedError, match=r"LPIPS \(alex\): no weights at"):
        run(config.model_copy(update={"extra_metrics": ("lpips",)}))
    assert not list(tmp_path.iterdir())


def test_a_model_that_has_diverged_gives_no_numbers(run, config, tokenizer):
    tokenizer.pixel_decoder.codebook.data.fill_(torch.nan)
    with pytest.raises(EvaluationError, match="not finite"):
        run(config)
