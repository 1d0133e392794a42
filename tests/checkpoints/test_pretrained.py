"""`from_pretrained` and `save_pretrained`: the release's numbers, round trips, and refusals."""

from __future__ import annotations

import json

import pytest
import small_models
import torch
from safetensors.torch import save_file
from small_models import released, seeded
from torch.testing import assert_close

from sftok.checkpoints import CheckpointError
from sftok.config import ConfigError
from sftok.decoding.schedule import DecodingConfig
from sftok.generators.maskgit import MaskGITGenerator
from sftok.io.weights import content_hash, save_tensors
from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.models.titok_decoder import CodesHeadConfig, PixelsHeadConfig, TiTokDecoderConfig
from sftok.quantizers.tail_drop import TailDrop
from sftok.quantizers.vq import VQConfig
from sftok.tokenizers.sftok import SFTok, SFTokConfig
from sftok.tokenizers.titok import TiTok, TiTokConfig


def same_weights(left, right):
    ours, theirs = left.state_dict(), right.state_dict()
    assert ours.keys() == theirs.keys()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def titok(sftok, head) -> TiTok:
    config = TiTokConfig(
        image_size=32,
        num_latent_tokens=4,
        token_dim=16,
        encoder=sftok.encoder.config,
        quantizer=VQConfig(codebook_size=10),
        decoder=TiTokDecoderConfig(width=64, depth=1, heads=2),
        head=head,
    )
    return TiTok.from_config(config, seeded(2)).eval()


@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_the_released_sftok_gives_the_releases_numbers(
    tmp_path, sftok_numbers, released_stage3, sftok_record, teacher, suffix
):
    path = tmp_path / f"sftok.{suffix}"
    (torch.save if suffix == "bin" else save_file)(released_stage3, path)
    # Its heads are 32 wide, which no released model has.
    tokenizer = SFTok.from_pretrained(path, config=sftok_record)
    ids = tokenizer.encode(sftok_numbers["in.images"])
    assert torch.equal(ids, sftok_numbers["out.indices_nearest"])
    greedy = DecodingConfig(steps=8, temperature=0, final_lookup="soft")
    unmasked = tokenizer.decode_codes(ids, greedy, seeded())
    assert torch.equal(unmasked.ids, sftok_numbers["out.generate_steps8.ids"])
    expected = teacher.pixel_decoder.decode_soft(sftok_numbers["out.generate_steps8.last_logits"]).clamp(0, 1)
    assert_close(tokenizer.decode(ids, greedy), expected, atol=1e-4, rtol=1e-4)


def test_the_shapes_of_a_released_sftok_tell_all_but_its_heads(tmp_path, released_stage3, sftok_record):
    torch.save(released_stage3, tmp_path / "sftok.bin")
    found = SFTok.from_pretrained(tmp_path).record.model_dump()
    for part in ("encoder", "decoder"):
        assert found[part].pop("heads") == 1
    expected = sftok_record.model_dump()
    for part in ("encoder", "decoder"):
        expected[part].pop("heads")
    assert found == expected


def test_stage_two_with_the_teacher_is_stage_three_of_the_same_weights(
    tmp_path, released_stage2, released_stage3, released_teacher
):
    torch.save(released_stage2, tmp_path / "stage2.bin")
    torch.save(released_stage3, tmp_path / "stage3.bin")
    torch.save(released_teacher, tmp_path / "teacher.bin")
    with pytest.raises(CheckpointError, match=r"stage2\.bin: an SFTok of stage 1 or 2"):
        SFTok.from_pretrained(tmp_path / "stage2.bin")
    completed = SFTok.from_pretrained(tmp_path / "stage2.bin", teacher=tmp_path / "teacher.bin")
    assert same_weights(completed, SFTok.from_pretrained(tmp_path / "stage3.bin"))
    assert completed.decoding.final_lookup == "hard"


def test_the_released_teacher_gives_the_releases_numbers(tmp_path, vqgan_numbers):
    torch.save(released(vqgan_numbers), tmp_path / "maskgit-vqgan.bin")
    teacher = MaskGITVQGAN.from_pretrained(tmp_path)
    assert torch.equal(teacher.encode(vqgan_numbers["in.images"]), vqgan_numbers["out.ids"])
    pixels = teacher.pixel_decoder.decode_codes(vqgan_numbers["out.ids"])
    assert_close(pixels, vqgan_numbers["out.image"], atol=1e-4, rtol=1e-4)


def test_save_and_load_is_the_same_bit_for_bit(tmp_path, sftok, teacher, sftok_record):
    models = [
        sftok,
        teacher,
        titok(sftok, CodesHeadConfig(pixel_decoder=sftok_record.pixel_decoder)),
        titok(sftok, PixelsHeadConfig(patch_size=8)),
        MaskGITGenerator.from_config(small_models.generator_record()),
    ]
    for place, model in enumerate(models):
        folder = model.save_pretrained(tmp_path / str(place))
        assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
        loaded = type(model).from_pretrained(folder)
        assert same_weights(loaded, model)
        assert loaded.record == model.record
        assert not loaded.training
        assert all(parameter.requires_grad for parameter in loaded.parameters())
        again = loaded.save_pretrained(tmp_path / f"{place} again")
        assert (again / "config.json").read_bytes() == (folder / "config.json").read_bytes()


def test_the_weight_file_alone_is_enough(tmp_path, sftok):
    (sftok.save_pretrained(tmp_path) / "config.json").unlink()
    (tmp_path / "model.safetensors").rename(tmp_path / "renamed.safetensors")
    assert SFTok.from_pretrained(tmp_path / "renamed.safetensors").record == sftok.record


def test_tensors_of_ours_need_a_configuration(tmp_path, sftok):
    save_file(sftok.state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"needs the config\.json that it was saved with beside it"):
        SFTok.from_pretrained(tmp_path)
    content = {"architecture": "sftok", "config": sftok.record.model_dump(mode="json")}
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert same_weights(SFTok.from_pretrained(tmp_path), sftok)


def test_weights_beside_the_configuration_of_something_else_have_their_own(tmp_path, sftok):
    checksum = sftok.save_weights(tmp_path / "model.safetensors")
    assert checksum == content_hash(sftok.state_dict())
    (tmp_path / "config.json").write_text(json.dumps({"stage": "warm-up", "steps": 3}))
    loaded = SFTok.from_pretrained(tmp_path)
    assert same_weights(loaded, sftok)
    assert loaded.record == sftok.record


def save(path, sftok, state=None, values=None):
    config = json.dumps(values or sftok.record.model_dump(mode="json"))
    save_tensors(path, state or sftok.state_dict(), {"architecture": "sftok", "config": config})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("quantizer.shared_linear.bias"), r"missing: quantizer\.shared_linear\.bias"),
        (lambda state: state.update(extra=torch.zeros(1)), "unexpected: extra"),
        (
            lambda state: state.update({"encoder.queries": torch.zeros(5, 64)}),
            r"of another shape: encoder\.queries \(5, 64\) for \(4, 64\)",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path, sftok, change, message):
    state = sftok.state_dict()
    change(state)
    save(tmp_path / "model.safetensors", sftok, state=state)
    with pytest.raises(CheckpointError, match=message) as refused:
        SFTok.from_pretrained(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_configuration_that_cannot_be_used_is_named(tmp_path, sftok):
    values = sftok.record.model_dump(mode="json")
    values["encoder"]["patch_size"] = 5
    save(tmp_path / "model.safetensors", sftok, values=values)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: .*patch_size 5 does not divide"):
        SFTok.from_pretrained(tmp_path)


def test_a_released_encoder_of_another_width_needs_a_configuration(tmp_path, released_stage3, sftok_record):
    def narrow(tensor: torch.Tensor) -> torch.Tensor:
        keep = (slice(size * 3 // 4) if size % 64 == 0 else slice(None) for size in tensor.shape)
        return tensor[tuple(keep)]

    encoder = {
        name: narrow(tensor)
        for name, tensor in released_stage3.items()
        if name.startswith(("encoder", "latent"))
    }
    torch.save(released_stage3 | encoder, tmp_path / "sftok.bin")
    with pytest.raises(CheckpointError, match=r"encoder\.heads = None: .*config=CONFIG"):
        SFTok.from_pretrained(tmp_path)
    values = sftok_record.model_dump(exclude={"decoding"})
    values["encoder"] |= {"width": 48, "heads": 3}
    tokenizer = SFTok.from_pretrained(tmp_path, config=SFTokConfig.build(values))
    assert tokenizer.encoder.config.heads == 3
    assert tokenizer.decoding.final_lookup == "soft"


def test_loading_draws_nothing_and_leaves_the_global_state(tmp_path, sftok):
    sftok.save_pretrained(tmp_path)
    state = torch.get_rng_state()
    SFTok.from_pretrained(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_injected_quantizer_that_no_record_describes_is_not_saved(tmp_path, sftok):
    other = SFTok(sftok.encoder, TailDrop(sftok.quantizer), sftok.decoder, sftok.pixel_decoder)
    with pytest.raises(ConfigError, match="quantizer"):
        other.save_pretrained(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_weights_lie_where_torch_puts_tensors_whatever_the_header_of_their_file(tmp_path, sftok):
    loaded = SFTok.from_pretrained(sftok.save_pretrained(tmp_path))
    assert {tensor.data_ptr() % 64 for tensor in loaded.state_dict().values()} == {0}


def test_constants_that_are_not_saved_survive_loading(tmp_path, sftok, monkeypatch):
    def with_constant(self, config, *arguments):
        plain(self, config, *arguments)
        self.register_buffer("constant", torch.arange(3), persistent=False)

    plain = type(sftok.quantizer).__init__
    monkeypatch.setattr(type(sftok.quantizer), "__init__", with_constant)
    loaded = SFTok.from_pretrained(sftok.save_pretrained(tmp_path))
    assert torch.equal(loaded.quantizer.constant, torch.arange(3))
    assert torch.equal(loaded.quantizer.embedding, sftok.quantizer.embedding)


def test_shards_of_a_released_model_are_loaded(tmp_path, released_stage3):
    torch.save(released_stage3, tmp_path / "whole.bin")
    whole = SFTok.from_pretrained(tmp_path / "whole.bin")
    (tmp_path / "whole.bin").unlink()
    names = sorted(released_stage3)
    placed = {name: f"pytorch_model-0000{1 + place % 3}-of-00003.bin" for place, name in enumerate(names)}
    for shard in set(placed.values()):
        torch.save({name: released_stage3[name] for name in names if placed[name] == shard}, tmp_path / shard)
    with pytest.raises(CheckpointError, match=r"holds shards \(.*\) without their index"):
        SFTok.from_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": placed}))
    assert same_weights(SFTok.from_pretrained(tmp_path), whole)
