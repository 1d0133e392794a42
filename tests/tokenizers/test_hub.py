from __future__ import annotations

import json
from functools import partial

import pytest
import torch
from small_models import generator_record, released, seeded, smaller_sftok_config

from sftok.checkpoints import CheckpointError
from sftok.generators.maskgit import MaskGITGenerator
from sftok.models.maskgit_vqgan import MASKGIT_VQGAN, MaskGITVQGAN, MaskGITVQGANRecord
from sftok.tokenizers import hub
from sftok.tokenizers.hub import FULL_SIZES, TOKENIZERS, identity, open_tokenizer
from sftok.tokenizers.sftok import SIZES
from sftok.tokenizers.sizes import PIXEL_SIZES
from sftok.tokenizers.titok import TITOK_SIZES

TINY = MaskGITVQGANRecord(image_size=8, backbone=smaller_sftok_config().pixel_decoder)


def tiny(seed: int = 0) -> MaskGITVQGAN:
    return MaskGITVQGAN.from_config(TINY, seeded(seed)).eval()


def test_every_full_size_is_one_of_the_papers_models_and_says_its_sizes():
    with torch.device("meta"):
        built = {name: build(seeded()) for name, build in FULL_SIZES.items()}
    assert set(TOKENIZERS) == {"sftok", "titok", "maskgit-vqgan", "pixel-tokenizer"}
    records = {name: model.record for name, model in built.items()}
    for name, size in SIZES.items():
        assert records[name].model_dump(exclude={"decoding"}) == size.model_dump()
    others = {name: record for name, record in records.items() if name not in SIZES}
    drawn = {name: size for name, size in PIXEL_SIZES.items() if name != "vqgan-lc-f16"}
    assert others == {**TITOK_SIZES, **drawn, "maskgit-vqgan": MASKGIT_VQGAN}
    sizes = {name: (each.image_size, each.num_tokens, each.codebook_size) for name, each in built.items()}
    assert sizes == {
        "sftok-b": (256, 64, 8192),
        "sftok-l": (256, 64, 8192),
        "titok-b64": (256, 64, 4096),
        "titok-bl64": (256, 64, 8192),
        "titok-l32": (256, 32, 4096),
        "maskgit-vqgan": (256, 256, 1024),
        "vqgan-f16": (256, 256, 16384),
        "vit-vqgan-base": (256, 1024, 8192),
        "movq-270m": (256, 1024, 16384),
        "movq-67m": (256, 1024, 16384),
        "imagefolder": (256, 572, 4096),
        "rq-vae": (256, 256, 16384),
        "maskbit-12bit": (256, 256, 4096),
        "cosmos-di8": (256, 1024, 64000),
        "cosmos-di16": (256, 256, 64000),
        "llamagen-vq16": (256, 256, 16384),
        "open-magvit2": (256, 256, 2**18),
        "ldm-4-vq": (256, 4096, 8192),
    }


def test_random_weights_depend_on_the_seed_alone(monkeypatch):
    # The full sizes take seconds and gigabytes.
    monkeypatch.setattr(hub, "FULL_SIZES", {"tiny": partial(MaskGITVQGAN.from_config, TINY)})
    first, same, other = (open_tokenizer("random:tiny", seed) for seed in (1, 1, 2))
    assert identity(first) == identity(same) == identity(tiny(1))
    assert identity(first) != identity(other)
    assert not first.training


def test_an_unknown_name_lists_the_choices():
    message = r"random:sftok: .*did you mean 'sftok-[bl]'\? choices: cosmos-di16, .*maskgit"
    with pytest.raises(CheckpointError, match=message):
        open_tokenizer("random:sftok")
    with pytest.raises(CheckpointError, match="needs no teacher's file"):
        open_tokenizer("random:sftok-b", teacher="maskgit.bin")


def test_files_and_folders_open_as_what_they_hold(tmp_path, vqgan_numbers):
    folder = tiny(3).save_pretrained(tmp_path / "saved")
    for reference in (folder, str(folder), folder / "model.safetensors"):
        assert identity(open_tokenizer(reference)) == identity(tiny(3))
    torch.save(released(vqgan_numbers), tmp_path / "maskgit-vqgan.bin")
    opened = open_tokenizer(tmp_path / "maskgit-vqgan.bin")
    assert torch.equal(opened.encode(vqgan_numbers["in.images"]), vqgan_numbers["out.ids"])


def test_a_generator_is_no_tokenizer(tmp_path):
    MaskGITGenerator.from_config(generator_record()).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="a 'maskgit-generator', which is not a tokenizer"):
        open_tokenizer(tmp_path)


def test_the_identity_is_of_weights_and_configuration():
    model, before = tiny(), identity(tiny())
    model.pixel_decoder.codebook.data[0, 0] += 1e-6
    assert identity(model) != before
    regrouped = MaskGITVQGAN(TINY.backbone.model_copy(update={"norm_groups": 4}), 8).eval()
    regrouped.load_state_dict(tiny().state_dict())
    assert identity(regrouped) != before


def test_half_precision_is_said_once(tmp_path, caplog):
    torch.save(
        {name: tensor.bfloat16() for name, tensor in tiny().state_dict().items()}, tmp_path / "model.bin"
    )
    config = {"architecture": "maskgit-vqgan", "config": TINY.model_dump(mode="json")}
    (tmp_path / "config.json").write_text(json.dumps(config))
    opened = open_tokenizer(tmp_path)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert all(parameter.dtype == torch.float32 for parameter in opened.parameters())
