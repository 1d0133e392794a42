from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from small_models import BACKBONE, seeded
from torch import Tensor
from torch.testing import assert_close

from sftok.checkpoints.released import titok
from sftok.config import ConfigError
from sftok.models.encoder import ViTEncoderConfig
from sftok.models.titok_decoder import CodesHeadConfig, HeadConfig, PixelsHeadConfig, TiTokDecoderConfig
from sftok.quantizers.vq import VQConfig
from sftok.tokenizers.titok import TiTok, TiTokConfig

WIDTH, HEADS, DEPTH, TOKENS, GRID, PATCH = 16, 2, 2, 3, 4, 4

CODES = CodesHeadConfig(pixel_decoder=BACKBONE)
PIXELS = PixelsHeadConfig(patch_size=PATCH)


def config(head: HeadConfig, *, use_l2_norm: bool = True, latent_layout: str = "legacy") -> TiTokConfig:
    shape = {"width": WIDTH, "depth": DEPTH, "heads": HEADS}
    return TiTokConfig(
        image_size=16,
        num_latent_tokens=TOKENS,
        token_dim=5,
        encoder=ViTEncoderConfig(patch_size=PATCH, latent_layout=latent_layout, **shape),
        quantizer=VQConfig(codebook_size=20, use_l2_norm=use_l2_norm),
        decoder=TiTokDecoderConfig(**shape),
        head=head,
    )


@pytest.mark.parametrize("head", [CODES, PIXELS])
def test_images_to_ids_to_images(images, head):
    tokenizer = TiTok.from_config(config(head), seeded()).eval()
    ids = tokenizer.encode(images)
    assert ids.shape == (5, TOKENS)
    assert ids.dtype == torch.int64
    assert ((ids >= 0) & (ids < tokenizer.codebook_size)).all()
    assert torch.equal(tokenizer.encode(images[2:4]), ids[2:4])
    decoded = tokenizer.decode(ids)
    assert decoded.shape == images.shape
    assert (decoded.min() >= 0) & (decoded.max() <= 1)
    assert torch.equal(tokenizer.reconstruct(images), decoded)
    with pytest.raises(ValueError, match=f"this tokenizer has {TOKENS} for each image"):
        tokenizer.decode(ids[:, :1])


@pytest.mark.parametrize("head", [CODES, PIXELS])
def test_gradients_reach_every_part(images, head):
    tokenizer = TiTok.from_config(config(head), seeded())
    quantized = tokenizer.quantizer(tokenizer.encoder(images))
    pixels = tokenizer.head(tokenizer.decoder(quantized.quantized))
    ((pixels - images).square().mean() + quantized.loss).backward()
    for name, parameter in tokenizer.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_a_seed_fixes_the_weights():
    one, same, other = (TiTok.from_config(config(CODES), seeded(seed)).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["decoder.mask_token"], other["decoder.mask_token"])


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"kind": "pixels", "patch_size": 5}, "patch_size 5 does not divide image_size 16"),
        (
            {"kind": "codes", "pixel_decoder": {"name": "maskgit-vqgan", "channel_multipliers": (1,) * 6}},
            "image_size 16 is not a multiple of 32",
        ),
    ],
)
def test_a_head_that_does_not_cover_the_image_is_refused(head, message):
    with pytest.raises(ConfigError, match=message):
        TiTokConfig.build(config(PIXELS).model_dump() | {"head": head})


@pytest.mark.parametrize("head", [CODES, PIXELS])
def test_numbers_by_a_plain_reading_of_the_release(images, head):
    """The released arithmetic, written anew in torch functions on tensors of the released names."""
    legacy = head is CODES
    tokenizer = TiTok.from_config(
        config(head, use_l2_norm=legacy, latent_layout="legacy" if legacy else "straight"), seeded()
    )
    released = _released_weights(legacy)
    codes, pixels = titok.LAYOUTS
    kept = {
        name: value for name, value in tokenizer.state_dict().items() if name.startswith("head.pixel_decoder")
    }
    tokenizer.load_state_dict({**(codes if legacy else pixels).convert(released), **kept})
    tokenizer.eval()

    latents = _encode(released, images, legacy)
    assert_close(rearrange(tokenizer.encoder(images), "b k d -> b d 1 k"), latents, atol=1e-5, rtol=1e-5)
    codebook = released["quantize.embedding.weight"]
    points = rearrange(latents, "b d 1 k -> b k d")
    if legacy:
        points, codebook = F.normalize(points, dim=-1), F.normalize(codebook, dim=-1)
    ids = torch.cdist(points, codebook[None]).argmin(-1)
    assert torch.equal(tokenizer.encode(images), ids)

    expected = _decode(released, codebook[ids], legacy)
    if legacy:
        probabilities = rearrange(expected.softmax(1), "b v h w -> b h w v")
        embedded = rearrange(probabilities @ tokenizer.head.pixel_decoder.codebook, "b h w c -> b c h w")
        expected = tokenizer.head.pixel_decoder.decode_embeddings(embedded)
    assert_close(tokenizer.decode(ids), expected.clamp(0, 1), atol=1e-5, rtol=1e-5)


def _released_weights(legacy: bool) -> dict[str, Tensor]:
    draws, weights = seeded(7), {}

    def add(name: str, *shape: int) -> None:
        weights[name] = torch.randn(shape, generator=draws) * 0.3

    for part in ("encoder", "decoder"):
        for name in ("ln_pre", "ln_post"):
            add(f"{part}.{name}.weight", WIDTH)
            add(f"{part}.{name}.bias", WIDTH)
        for layer in range(DEPTH):
            block = f"{part}.transformer.{layer}"
            for name, rows, columns in (
                ("attn.in_proj_", 3 * WIDTH, WIDTH),
                ("attn.out_proj.", WIDTH, WIDTH),
                ("mlp.c_fc.", 4 * WIDTH, WIDTH),
                ("mlp.c_proj.", WIDTH, 4 * WIDTH),
            ):
                add(f"{block}.{name}weight", rows, columns)
                add(f"{block}.{name}bias", rows)
            for name in ("ln_1.weight", "ln_1.bias", "ln_2.weight", "ln_2.bias"):
                add(f"{block}.{name}", WIDTH)
        add(f"{part}.class_embedding", 1, WIDTH)
        add(f"{part}.positional_embedding", 1 + GRID**2, WIDTH)
        add(f"{part}.latent_token_positional_embedding", TOKENS, WIDTH)
    add("latent_tokens", TOKENS, WIDTH)
    add("quantize.embedding.weight", 20, 5)
    outputs = ((2 * WIDTH, WIDTH), (24, 2 * WIDTH)) if legacy else ((3 * PATCH**2, WIDTH),)
    layers: list[tuple[str, Any]] = [
        ("encoder.patch_embed", (WIDTH, 3, PATCH, PATCH)),
        ("encoder.conv_out", (5, WIDTH, 1, 1)),
        ("decoder.decoder_embed", (WIDTH, 5)),
        *((f"decoder.ffn.{2 * place}", (*shape, 1, 1)) for place, shape in enumerate(outputs)),
        *([] if legacy else [("decoder.conv_out", (3, 3, 3, 3))]),
    ]
    for name, shape in layers:
        add(f"{name}.weight", *shape)
        add(f"{name}.bias", shape[0])
    add("decoder.mask_token", 1, 1, WIDTH)
    return weights


def _take(weights: dict[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    return weights[f"{name}weight"], weights[f"{name}bias"]


def _transform(weights: dict[str, Tensor], part: str, tokens: Tensor) -> Tensor:
    """The part's blocks between its first and its last norm."""
    tokens = F.layer_norm(tokens, (WIDTH,), *_take(weights, f"{part}.ln_pre."))
    for layer in range(DEPTH):
        take = partial(
            _take, {name.removeprefix(f"{part}.transformer.{layer}."): w for name, w in weights.items()}
        )
        sequence = F.layer_norm(tokens, (WIDTH,), *take("ln_1.")).transpose(0, 1)
        given = (*take("attn.in_proj_"), None, None, False, 0.0, *take("attn.out_proj."))
        attended, _ = F.multi_head_attention_forward(*[sequence] * 3, WIDTH, HEADS, *given, training=False)
        tokens = tokens + attended.transpose(0, 1)
        hidden = F.linear(F.layer_norm(tokens, (WIDTH,), *take("ln_2.")), *take("mlp.c_fc."))
        tokens = tokens + F.linear(F.gelu(hidden), *take("mlp.c_proj."))
    return tokens


def _encode(weights: dict[str, Tensor], images: Tensor, legacy: bool) -> Tensor:
    batch = len(images)
    patches = F.conv2d(images, *_take(weights, "encoder.patch_embed."), stride=PATCH)
    patches = patches.flatten(2).transpose(1, 2)
    image = torch.cat([weights["encoder.class_embedding"].expand(batch, 1, WIDTH), patches], dim=1)
    image = image + weights["encoder.positional_embedding"]
    queries = weights["latent_tokens"] + weights["encoder.latent_token_positional_embedding"]
    tokens = torch.cat([image, queries.expand(batch, TOKENS, WIDTH)], dim=1)
    latents = _transform(weights, "encoder", tokens)[:, 1 + GRID**2 :]
    latents = F.layer_norm(latents, (WIDTH,), *_take(weights, "encoder.ln_post."))
    straight = latents.transpose(1, 2).unsqueeze(-1)
    latents = latents.reshape(batch, WIDTH, TOKENS, 1) if legacy else straight
    return F.conv2d(latents, *_take(weights, "encoder.conv_out.")).reshape(batch, 5, 1, TOKENS)


def _decode(weights: dict[str, Tensor], quantized: Tensor, legacy: bool) -> Tensor:
    batch = len(quantized)
    latents = F.linear(quantized, *_take(weights, "decoder.decoder_embed."))
    latents = latents + weights["decoder.latent_token_positional_embedding"]
    masks = weights["decoder.mask_token"].repeat(batch, GRID**2, 1)
    masks = torch.cat([weights["decoder.class_embedding"].expand(batch, 1, WIDTH), masks], dim=1)
    tokens = torch.cat([masks + weights["decoder.positional_embedding"], latents], dim=1)
    patches = _transform(weights, "decoder", tokens)[:, 1 : 1 + GRID**2]
    patches = F.layer_norm(patches, (WIDTH,), *_take(weights, "decoder.ln_post."))
    hidden = patches.transpose(1, 2).reshape(batch, WIDTH, GRID, GRID)
    hidden = F.conv2d(hidden, *_take(weights, "decoder.ffn.0."))
    if legacy:
        return F.conv2d(hidden.tanh(), *_take(weights, "decoder.ffn.2."))
    # Channels run over row and column within the patch, then color.
    hidden = hidden.reshape(batch, PATCH, PATCH, 3, GRID, GRID).permute(0, 3, 4, 1, 5, 2)
    hidden = hidden.reshape(batch, 3, GRID * PATCH, GRID * PATCH)
    return F.conv2d(hidden, *_take(weights, "decoder.conv_out."), padding=1)
