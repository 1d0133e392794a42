"""MoVQ (ai-forever), whose releases quantize each latent as a whole, with 16384 codes of length 4."""

from __future__ import annotations

from sftok.checkpoints.checkpoint import PIXEL_TOKENIZER
from sftok.checkpoints.layouts import Layout
from sftok.checkpoints.released.taming import CODEBOOK, NETWORKS, finish, ignored, plain_vq

LAYOUTS = (
    Layout(
        title="released MoVQ",
        architecture=PIXEL_TOKENIZER,
        markers=frozenset({"encoder.mid.attn_1.q.weight", "decoder.norm_out.conv_y.weight"}),
        rules=(*NETWORKS, CODEBOOK, *ignored("loss", r"ema_[a-z_]+")),
        finish=finish,
        record=plain_vq,
    ),
)
