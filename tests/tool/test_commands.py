"""The command line as a person uses it, in one process, with tiny checkpoints."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import small_models
import torch
from einops import rearrange
from PIL import Image

from sftok.__main__ import main
from sftok.data.transforms import pixels
from sftok.decoding.schedule import DecodingConfig
from sftok.tokenizers.hub import identity
from sftok.tokenizers.sftok import SFTok
from sftok.tool.arguments import parser
from sftok.tool.errors import ToolError
from sftok.tool.tokens import load_tokens


def tokenize(*arguments: object) -> int:
    return main(["tokenize", *map(str, arguments)])


def reconstruct(*arguments: object) -> int:
    return main(["reconstruct", *map(str, arguments)])


@pytest.fixture
def refused(capsys):
    """Checks that a command said one line that holds `words`, wrote nothing else, and returns its code."""

    def check(code: int, *words: str) -> None:
        out, err = capsys.readouterr()
        assert code == 2
        assert out == ""
        assert err.count("\n") == 1
        for word in words:
            assert word in err

    return check


def as_images(files: list[str]) -> torch.Tensor:
    stacked = np.stack([pixels(Path(file).read_bytes(), 16) for file in files])
    return rearrange(torch.from_numpy(stacked), "n h w c -> n c h w").float() / 255


def stored(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as content:
        return dict(content)


def test_tokens_are_those_of_the_tokenizer(photos, checkpoint, tokenizer, tmp_path, capsys):
    assert tokenize(photos, "--checkpoint", checkpoint, "-o", tmp_path / "deep" / "tokens.npz") == 0
    assert capsys.readouterr() == ("", "")
    content = stored(tmp_path / "deep" / "tokens.npz")
    files = content["files"].tolist()
    assert len(files) == 7
    assert content["ids"].dtype == np.int64
    assert np.array_equal(content["ids"], tokenizer.encode(as_images(files)).numpy())
    assert json.loads(str(content["preprocessing"])) == {
        "transform": "rgb8, bicubic short side, centre crop, 1",
        "image_size": 16,
        "range": [0, 1],
    }
    assert json.loads(str(content["checkpoint"])) == {
        "architecture": "sftok",
        "num_tokens": 4,
        "codebook_size": 32,
        "identity": identity(tokenizer),
    }
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["tokens.npz"]


def test_token_files_must_end_in_npz(photos, checkpoint, tmp_path, capsys):
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"precious")
    assert tokenize(photos, "--checkpoint", checkpoint, "-o", photo) != 0
    assert "token files must end in .npz" in capsys.readouterr().err
    assert photo.read_bytes() == b"precious"


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_an_images_ids_do_not_depend_on_its_batch(photos, checkpoint, tmp_path, batch_size):
    for size in (7, batch_size):
        arguments = ["--checkpoint", checkpoint, "-o", tmp_path / f"{size}.npz", "--batch-size", size]
        assert tokenize(photos, *arguments) == 0
    whole, parts = stored(tmp_path / "7.npz"), stored(tmp_path / f"{batch_size}.npz")
    assert np.array_equal(whole["ids"], parts["ids"])


def test_images_and_their_tokens_reconstruct_alike(photos, checkpoint, tokenizer, tmp_path, capsys):
    options = ["--checkpoint", checkpoint, "--steps", 3, "--temperature", 2.5, "--seed", 4, "--batch-size", 3]
    assert tokenize(photos, "--checkpoint", checkpoint, "-o", tmp_path / "tokens.npz") == 0
    assert reconstruct(photos, "-o", tmp_path / "direct", *options) == 0
    assert reconstruct(tmp_path / "tokens.npz", "-o", tmp_path / "stored", *options) == 0
    assert capsys.readouterr() == ("", "")
    names = [*(f"{place}.png" for place in range(4)), *(f"deeper/{place}.png" for place in range(3))]
    for folder in ("direct", "stored"):
        found = sorted(
            str(path.relative_to(tmp_path / folder)) for path in (tmp_path / folder).rglob("*.png")
        )
        assert found == sorted(names)
    ids = torch.from_numpy(stored(tmp_path / "tokens.npz")["ids"])
    noise, decoding = torch.Generator().manual_seed(4), DecodingConfig(steps=3, temperature=2.5)
    expected = torch.cat([tokenizer.decode(part, decoding, noise) for part in ids.split(3)])
    for name, image in zip(names, expected, strict=True):
        values = rearrange((image * 255).round().byte(), "c h w -> h w c").numpy()
        for folder in ("direct", "stored"):
            assert np.array_equal(np.asarray(Image.open(tmp_path / folder / name)), values)


def test_decoding_is_by_default_that_of_the_checkpoint(photos, tokenizer, tmp_path):
    tokenizer.decoding = DecodingConfig(steps=2, temperature=0, final_lookup="soft")
    saved = tokenizer.save_pretrained(tmp_path / "soft")
    image = f"{photos}/1.png"
    assert reconstruct(image, "--checkpoint", saved, "-o", tmp_path / "out") == 0
    expected = tokenizer.reconstruct(as_images([image]))[0]
    values = rearrange((expected * 255).round().byte(), "c h w -> h w c").numpy()
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "1.png")), values)


def test_tokens_of_another_checkpoint_are_refused(photos, checkpoint, teacher, tokenizer, tmp_path, refused):
    tokens = tmp_path / "tokens.npz"
    assert tokenize(photos, "--checkpoint", checkpoint, "-o", tokens) == 0
    with torch.no_grad():
        tokenizer.pixel_decoder.codebook[0, 0] += 1
    altered = tokenizer.save_pretrained(tmp_path / "altered")
    code = reconstruct(tokens, "--checkpoint", altered, "-o", tmp_path / "out")
    refused(code, "tokens.npz: its ids are from another checkpoint (sftok ", "than the given one (sftok ")
    code = reconstruct(tokens, "--checkpoint", teacher, "-o", tmp_path / "out")
    refused(code, "than the given one (maskgit-vqgan ")
    assert not (tmp_path / "out").exists()


DAMAGE = {
    "pickled": {"files": lambda fields: np.array([object()] * 7)},
    "floats": {"ids": lambda fields: fields["ids"].astype(float)},
    "fewer files": {"files": lambda fields: fields["files"][:3]},
    "too many ids": {"ids": lambda fields: np.tile(fields["ids"], 2)},
    "ids out of range": {"ids": lambda fields: fields["ids"] + 30},
    "no image": {"ids": lambda fields: fields["ids"][:0], "files": lambda fields: fields["files"][:0]},
    "no name": {"files": lambda fields: np.array(["/", *fields["files"][1:]])},
    "a name that ends": {"files": lambda fields: np.array(["a\0.png", *fields["files"][1:]])},
    "not JSON": {"checkpoint": lambda fields: np.array("{")},
    "not a record": {"checkpoint": lambda fields: np.array("[]")},
    "no ids": {"ids": None},
}


@pytest.mark.parametrize("changes", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_token_file_is_refused(photos, checkpoint, tmp_path, refused, changes):
    tokens = tmp_path / "tokens.npz"
    assert tokenize(photos, "--checkpoint", checkpoint, "-o", tokens) == 0
    fields = stored(tokens)
    damaged = fields | {name: change(fields) for name, change in changes.items() if change}
    np.savez(tokens, **{name: damaged[name] for name in fields if changes.get(name, fields) is not None})
    refused(reconstruct(tokens, "--checkpoint", checkpoint, "-o", tmp_path / "out"), "tokens.npz: ")


def test_damage_at_any_byte_of_a_token_file_is_no_traceback(photos, checkpoint, tmp_path):
    tokens = tmp_path / "tokens.npz"
    assert tokenize(photos, "--checkpoint", checkpoint, "-o", tokens) == 0
    content = tokens.read_bytes()
    refused = 0
    for place in range(0, len(content), 3):
        tokens.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            load_tokens(tokens)
        except ToolError:
            refused += 1
    assert refused > len(content) / 3 / 2


@pytest.mark.parametrize("keep", [0, 40, 0.5, -1])
def test_a_truncated_token_file_is_refused(photos, checkpoint, tmp_path, refused, keep):
    tokens = tmp_path / "tokens.npz"
    assert tokenize(photos, "--checkpoint", checkpoint, "-o", tokens) == 0
    content = tokens.read_bytes()
    tokens.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    code = reconstruct(tokens, "--checkpoint", checkpoint, "-o", tmp_path / "out")
    refused(code, "tokens.npz: not a complete token file")


def test_unreadable_images_are_fatal_or_skipped(photos, checkpoint, tmp_path, refused, caplog):
    (Path(photos) / "2.png").write_bytes(b"no image")
    options = ["--checkpoint", checkpoint, "-o", tmp_path / "tokens.npz"]
    refused(tokenize(photos, *options), "photos/2.png: cannot be read")
    assert not (tmp_path / "tokens.npz").exists()
    assert tokenize(photos, *options, "--unreadable", "skip") == 0
    assert "photos/2.png" in caplog.text
    assert len(stored(tmp_path / "tokens.npz")["ids"]) == 6


def test_bad_input_is_one_line(photos, checkpoint, teacher, tmp_path, refused):
    out = ["-o", tmp_path / "out.npz"]
    refused(tokenize("absent.png", "--checkpoint", checkpoint, *out), "absent.png: no such file")
    refused(tokenize(photos, "--checkpoint", "absent", *out), "absent: no such file or folder")
    refused(tokenize(photos, "--checkpoint", checkpoint, "-o", photos), "is a folder")
    refused(
        tokenize(photos, "--checkpoint", photos + "/1.png", *out), "neither a safetensors nor a torch file"
    )
    refused(tokenize(photos, "--checkpoint", checkpoint, "--teacher", teacher, *out), "leave it out")
    refused(tokenize(photos, "--checkpoint", checkpoint, "--device", "abacus", *out), "--device abacus")
    refused(tokenize(photos, "--checkpoint", checkpoint, "--device", "meta", *out), "--device meta")
    refused(reconstruct(photos, "--checkpoint", checkpoint, "-o", photos + "/1.png"), "is not a folder")
    refused(reconstruct(photos, "--checkpoint", checkpoint, "-o", photos), "is itself an input image")
    beside = Image.open(photos + "/1.png")
    beside.save(photos + "/1.jpg")
    one = reconstruct(photos + "/1.jpg", "--checkpoint", checkpoint, "-o", photos)
    refused(one, "1.png already exists, beside the images")
    refused(reconstruct(photos, "--checkpoint", checkpoint, *out, "--steps", 0), "steps = 0")
    refused(reconstruct(photos, "--checkpoint", checkpoint, *out, "--temperature", -1), "temperature = -1")
    refused(reconstruct(photos, "--checkpoint", teacher, *out, "--steps", 8), "decodes in one step")
    refused(reconstruct(photos, "x.npz", "--checkpoint", teacher, *out), "must be the only input")
    refused(reconstruct("x.npz", "--checkpoint", teacher, *out), "x.npz: no such file")
    assert not (tmp_path / "out.npz").exists()


def test_output_that_cannot_be_written_is_exit_code_1(photos, checkpoint, capsys):
    code = tokenize(photos, "--checkpoint", checkpoint, "-o", f"{photos}/1.png/tokens.npz")
    assert code == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_memory_that_runs_out_is_one_line_and_code_1(photos, checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(SFTok, "encode", lambda self, images: torch.empty(10**15))
    assert tokenize(photos, "--checkpoint", checkpoint, "-o", tmp_path / "tokens.npz") == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("sftok: out of memory (")
    assert said.endswith("choose a smaller --batch-size")
    assert not (tmp_path / "tokens.npz").exists()


def test_info(checkpoint, tokenizer: SFTok, capsys):
    assert main(["info", "--checkpoint", checkpoint, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["architecture"] == "sftok"
    assert (found["image_size"], found["num_tokens"], found["codebook_size"]) == (16, 4, 32)
    counts = found["parameters"]
    assert counts["total"] == sum(parameter.numel() for parameter in tokenizer.parameters())
    assert counts.pop("total") == sum(counts.values())
    assert list(counts) == ["encoder", "quantizer", "decoder", "pixel_decoder"]
    assert found["decoding"]["steps"] == 8
    assert found["preprocessing"]["image_size"] == 16
    assert found["config"] == tokenizer.record.model_dump(mode="json")
    assert main(["info", "--checkpoint", checkpoint]) == 0
    text = capsys.readouterr().out
    assert "4 per image, from a codebook of 32" in text
    assert identity(tokenizer) in text


def test_a_seed_chooses_random_weights(monkeypatch, capsys):
    from sftok.tokenizers import hub

    sizes = {"tiny": partial(SFTok.from_config, small_models.sftok_config())}
    monkeypatch.setattr(hub, "FULL_SIZES", sizes)
    found = []
    for seed in (0, 0, 1):
        assert main(["info", "--checkpoint", "random:tiny", "--seed", str(seed), "--format", "json"]) == 0
        found.append(json.loads(capsys.readouterr().out)["identity"])
    assert found[0] == found[1] != found[2]


COMMON = {"-h", "--checkpoint", "--teacher", "--seed"}
IMAGES = {*COMMON, "-o", "--batch-size", "--device", "--unreadable"}
OPTIONS = {
    "tokenize": {"images", *IMAGES},
    "reconstruct": {"inputs", *IMAGES, "--steps", "--temperature"},
    "sample": {
        *(*COMMON, "--generator", "--number", "-o", "--batch-size", "--device"),
        *("--steps", "--temperature", "--guidance-scale", "--guidance-schedule"),
    },
    "info": {*COMMON, "--format"},
}


def test_the_command_line_is_frozen():
    """A new option is a decision: everything else belongs in a checkpoint."""
    commands = next(action for action in parser()._actions if action.dest == "command").choices
    found = {
        name: {(action.option_strings or [action.dest])[0] for action in command._actions}
        for name, command in commands.items()
    }
    assert found == OPTIONS


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["info"],
        ["info", "--checkpoint", "x", "--seed", "-1"],
        ["tokenize", "a.png", "--checkpoint", "x", "-o", "t.npz", "--batch-size", "0"],
        ["tokenize", "a.png", "--checkpoint", "x", "-o", "t.npz", "--unreadable", "maybe"],
    ],
)
def test_a_wrong_option_is_one_line_and_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_as_a_module(tmp_path):
    command = [sys.executable, "-m", "sftok", "info", "--checkpoint", str(tmp_path / "absent.bin")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"sftok: {tmp_path / 'absent.bin'}: no such file or folder\n"
