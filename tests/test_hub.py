from __future__ import annotations

import json
import logging
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_models import generator_record

from sftok import hub
from sftok.checkpoints import CheckpointError
from sftok.hub import FULL_SIZES, TOKENIZERS, identity, open_tokenizer
from sftok.models.generator import MaskGITGenerator
from sftok.models.titok import TITOK_SIZES, TiTok
from sftok.models.tokenizer import SIZES, SFTok
from sftok.teacher.vqgan import MASKGIT_VQGAN, MaskGITVQGAN, MaskGITVQGANRecord, VQGANConfig

REFERENCE = Path(__file__).parent / "data" / "reference"

TINY = MaskGITVQGANRecord(
    image_size=8,
    backbone=VQGANConfig(
        hidden_channels=4,
        channel_multipliers=(1, 2),
        num_res_blocks=1,
        code_dim=3,
        codebook_size=6,
        norm_groups=2,
    ),
)


def tiny(seed: int = 0) -> MaskGITVQGAN:
    return MaskGITVQGAN.from_config(TINY, torch.Generator().manual_seed(seed)).eval()


@pytest.fixture
def random_tiny(monkeypatch):
    """The full sizes take seconds and gigabytes."""
    monkeypatch.setattr(hub, "FULL_SIZES", {"tiny": partial(MaskGITVQGAN.from_config, TINY)})


def test_every_full_size_is_one_of_the_papers_models():
    with torch.device("meta"):
        built = {name: build(torch.Generator("cpu").manual_seed(0)) for name, build in FULL_SIZES.items()}
    assert {name: model.record for name, model in built.items() if isinstance(model, TiTok)} == TITOK_SIZES
    sftok = {name: model.record for name, model in built.items() if isinstance(model, SFTok)}
    assert {name: record.model_dump(exclude={"decoding"}) for name, record in sftok.items()} == {
        name: config.model_dump() for name, config in SIZES.items()
    }
    assert built["maskgit-vqgan"].record == MASKGIT_VQGAN
    assert set(built) == {"sftok-b", "sftok-l", "titok-b64", "titok-bl64", "titok-l32", "maskgit-vqgan"}


def test_every_tokenizer_says_its_sizes():
    assert set(TOKENIZERS) == {"sftok", "titok", "maskgit-vqgan"}
    with torch.device("meta"):
        models = [
            FULL_SIZES[name](torch.Generator("cpu")) for name in ("sftok-b", "titok-l32", "maskgit-vqgan")
        ]
    sizes = [(model.image_size, model.num_tokens, model.codebook_size) for model in models]
    assert sizes == [(256, 64, 8192), (256, 32, 4096), (256, 256, 1024)]


def test_random_weights_depend_on_the_seed_alone(random_tiny):
    first, same, other = (open_tokenizer("random:tiny", seed) for seed in (1, 1, 2))
    assert identity(first) == identity(same) == identity(tiny(1))
    assert identity(first) != identity(other)
    assert not first.training


def test_an_unknown_name_lists_the_choices():
    with pytest.raises(
        CheckpointError, match=r"random:sftok: .*did you mean 'sftok-[bl]'\? choices: maskgit"
    ):
        open_tokenizer("random:sftok")
    with pytest.raises(CheckpointError, match="needs no teacher's file"):
        open_tokenizer("random:sftok-b", teacher="maskgit.bin")


def test_files_and_folders_open_as_what_they_hold(tmp_path):
    folder = tiny(3).save_pretrained(tmp_path / "saved")
    numbers = load_file(REFERENCE / "maskgit_vqgan_tiny.safetensors")
    released = {name.removeprefix("weights."): t for name, t in numbers.items() if name.startswith("weights")}
    torch.save(released, tmp_path / "maskgit-vqgan.bin")
    for reference in (folder, str(folder), folder / "model.safetensors"):
        opened = open_tokenizer(reference)
        assert isinstance(opened, MaskGITVQGAN)
        assert identity(opened) == identity(tiny(3))
    opened = open_tokenizer(tmp_path / "maskgit-vqgan.bin")
    assert torch.equal(opened.encode(numbers["in.images"]), numbers["out.ids"])


def test_a_generator_is_no_tokenizer(tmp_path):
    MaskGITGenerator.from_config(generator_record()).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="a 'maskgit-generator', which is not a tokenizer"):
        open_tokenizer(tmp_path)


def test_the_identity_is_of_weights_and_configuration():
    model = tiny()
    before = identity(model)
    with torch.no_grad():
        model.pixel_decoder.codebook[0, 0] += 1e-6
    assert identity(model) != before
    regrouped = MaskGITVQGAN(TINY.backbone.model_copy(update={"norm_groups": 4}), 8).eval()
    regrouped.load_state_dict(tiny().state_dict())
    assert identity(regrouped) != before


def test_half_precision_is_said_once(tmp_path, caplog):
    state = {name: tensor.bfloat16() for name, tensor in tiny().state_dict().items()}
    torch.save(state, tmp_path / "model.bin")
    config = {"architecture": "maskgit-vqgan", "config": TINY.model_dump(mode="json")}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with caplog.at_level(logging.WARNING):
        opened = open_tokenizer(tmp_path)
    assert len(caplog.records) == 1
    assert all(parameter.dtype == torch.float32 for parameter in opened.parameters())
