"""Table 1: reconstruction by tokenizers of images.

Paper: Table 1, Sections 1 and 4.2: rFID on ImageNet's validation images; SFTok-B and SFTok-L after all
three stages, at 8 decoding steps. All of its systems are trained here under one protocol: the 2D ones on
pixels, for the same steps on the same batches under the same loss; the 1D ones for the same steps against
the same teacher, with stage 3 after it. TiTok-BL has no teacher and is trained as the 2D ones are, on as
many images as TiTok-B sees in its three stages. The table as printed is in `table1.tsv`; what others have
published since is in `table1_newer.tsv`, shown and never compared.

Command: `python -m experiments run table1`
Expected: about two hours of one core with the cpu profile; 2 to 7 minutes for each 2D system.
"""

from experiments.specs import Claim, Experiment, read_rows

_FINE_TUNED = {"fine_tuned": True, "evaluation.final_lookup": "soft"}
_SINGLE_STEP = _FINE_TUNED | {"stage1.steps": "all", "evaluation.steps": [1]}
_ONE_D_PIECE = _SINGLE_STEP | {"tail_drop": True}
_PIXELS = {"subject": "pixels"}

EXPERIMENT = Experiment(
    name="table1",
    kind="table",
    title="Reconstruction by discrete tokenizers",
    source="Table 1, Section 4.2",
    description=(
        "All systems of the paper's table, trained here; each represents one idea. The first group is "
        "trained on pixels, with the same images, steps, batches and loss. MaskGIT is the 2D teacher itself, "
        "and VQGAN the same with a larger codebook. ViT-VQGAN has Vision Transformers and normalized codes "
        "with few channels; Mo-VQGAN has several codes per position, which modulate the decoder's norms; "
        "ImageFolder has two branches of multi-scale residual codes, one of them semantic; RQ-VAE has "
        "residual codes, MaskBit lookup-free codes, COSMOS scalar codes and wavelet patches, VQGAN-LC "
        "projected clusters of features, and LlamaGen a large codebook with few channels. TiTok-BL has 1D "
        "tokens without a teacher, and sees as many images as TiTok-B. The second group is trained to "
        "predict the teacher's codes, with the same steps, followed by a stage 3 whose losses the first "
        "group does not have. TiTok-B predicts all codes in one step, One-D-Piece does so from any number of "
        "its first tokens, and SFTok-B takes 8 steps; systems whose names end in -L have larger decoders."
    ),
    facts=("Token length", "#Code"),
    rates=True,
    rows=read_rows(
        "experiments.paper",
        "table1.tsv",
        metric="rfid",
        trained={
            "vit-vqgan": _PIXELS | {"variants": ("vit-vqgan",)},
            "mo-vqgan": _PIXELS | {"variants": ("mo-vqgan",)},
            "imagefolder": _PIXELS | {"variants": ("imagefolder",)},
            "rq-vae": _PIXELS | {"variants": ("rq-vae",)},
            "maskbit": _PIXELS | {"variants": ("maskbit",)},
            "cosmos": _PIXELS | {"variants": ("cosmos",)},
            "vqgan-lc": _PIXELS | {"variants": ("vqgan-lc",)},
            "llamagen-l": _PIXELS,
            "titok-bl": _PIXELS | {"variants": ("titok-bl",)},
            "one-d-piece-l": {
                "overrides": _ONE_D_PIECE,
                "variants": ("larger-encoder", "larger-decoder"),
                "steps": 1,
            },
            "vqgan": {"subject": "teacher", "variants": ("larger-codebook",)},
            "maskgit": {"subject": "teacher"},
            "titok-b": {"overrides": _SINGLE_STEP, "steps": 1},
            "one-d-piece-b": {"overrides": _ONE_D_PIECE, "steps": 1},
            "one-d-piece-b-half": {"overrides": {**_ONE_D_PIECE, "evaluation.kept_share": 0.5}, "steps": 1},
            "one-d-piece-b-quarter": {
                "overrides": {**_ONE_D_PIECE, "evaluation.kept_share": 0.25},
                "steps": 1,
            },
            "sftok-b": {"overrides": _FINE_TUNED},
            "sftok-l": {"overrides": _FINE_TUNED, "variants": ("larger-decoder",)},
        },
    )
    + read_rows("experiments.paper", "table1_newer.tsv", metric="rfid", trained={}, apart=True),
    claims=(
        Claim(
            name="sftok-beats-titok",
            text="SFTok-B reconstructs better than the single-step TiTok-B: 1.44 against 1.70 rFID",
            source="Table 1",
            order="sftok-b@8 < titok-b@1",
        ),
        Claim(
            name="sftok-beats-one-d-piece",
            text="SFTok-B reconstructs better than One-D-Piece-B: 1.44 against 2.39 rFID",
            source="Table 1",
            order="sftok-b@8 < one-d-piece-b@1",
        ),
        Claim(
            name="larger-decoder-helps",
            text="SFTok-L's larger decoder reconstructs better than SFTok-B's: 1.21 against 1.44 rFID",
            source="Table 1",
            order="sftok-l@8 < sftok-b@8",
        ),
        Claim(
            name="best-at-this-rate",
            text=(
                "SFTok reaches a new state of the art at 64 tokens: SFTok-L (1.21) and SFTok-B (1.44) are "
                "better than every other system of that length"
            ),
            source="Sections 1 and 4.2, Table 1",
            order=(
                "sftok-l@8 < titok-b@1",
                "sftok-l@8 < titok-bl",
                "sftok-l@8 < one-d-piece-b@1",
                "sftok-l@8 < one-d-piece-l@1",
                "sftok-b@8 < titok-b@1",
                "sftok-b@8 < titok-bl",
                "sftok-b@8 < one-d-piece-b@1",
                "sftok-b@8 < one-d-piece-l@1",
            ),
        ),
        Claim(
            name="fewer-tokens-than-2d-and-better",
            text=(
                "SFTok-L outperforms many models with lower compression rates: with 64 tokens it has a lower "
                "rFID than all seven systems with 256"
            ),
            source="Section 4.2, Table 1",
            order=(
                "sftok-l@8 < maskgit",
                "sftok-l@8 < vqgan",
                "sftok-l@8 < rq-vae",
                "sftok-l@8 < maskbit",
                "sftok-l@8 < cosmos",
                "sftok-l@8 < vqgan-lc",
                "sftok-l@8 < llamagen-l",
            ),
        ),
        Claim(
            name="outperforms-vit-vqgan",
            text="SFTok-L with 64 tokens is better than ViT-VQGAN with 1024: 1.21 against 1.28 rFID",
            source="Table 1",
            order="sftok-l@8 < vit-vqgan",
        ),
        Claim(
            name="more-tokens-still-better",
            text=(
                "With 9 and 16 times as many tokens, ImageFolder (0.80) and Mo-VQGAN (1.12) stay ahead of "
                "SFTok-L (1.21)"
            ),
            source="Table 1",
            order=("imagefolder < sftok-l@8", "mo-vqgan < sftok-l@8", "imagefolder < mo-vqgan"),
        ),
        Claim(
            name="order-of-1024-tokens",
            text="At 1024 tokens, Mo-VQGAN (1.12) reconstructs better than ViT-VQGAN (1.28)",
            source="Table 1",
            order="mo-vqgan < vit-vqgan",
        ),
        Claim(
            name="order-of-256-tokens",
            text=(
                "At 256 tokens: MaskBit 1.61, LlamaGen-L 2.19, MaskGIT 2.28, COSMOS 2.52, VQGAN-LC 2.62, "
                "RQ-VAE 3.20, VQGAN 3.64"
            ),
            source="Table 1",
            order=(
                "maskbit < llamagen-l",
                "llamagen-l < maskgit",
                "maskgit < cosmos",
                "cosmos < vqgan-lc",
                "vqgan-lc < rq-vae",
                "rq-vae < vqgan",
            ),
        ),
        Claim(
            name="order-of-64-tokens",
            text=(
                "At 64 tokens, the single-step systems: TiTok-B 1.70, TiTok-BL 2.06, One-D-Piece-L 2.10, "
                "One-D-Piece-B 2.39"
            ),
            source="Table 1",
            order=(
                "titok-b@1 < titok-bl",
                "titok-bl < one-d-piece-l@1",
                "one-d-piece-l@1 < one-d-piece-b@1",
            ),
        ),
        Claim(
            name="order-across-lengths",
            text=(
                "Between systems of different lengths: ViT-VQGAN 1.28, SFTok-B 1.44, MaskBit 1.61, TiTok-B "
                "1.70; One-D-Piece-L 2.10, LlamaGen-L 2.19; MaskGIT 2.28, One-D-Piece-B 2.39, COSMOS 2.52"
            ),
            source="Table 1",
            order=(
                "vit-vqgan < sftok-b@8",
                "sftok-b@8 < maskbit",
                "maskbit < titok-b@1",
                "one-d-piece-l@1 < llamagen-l",
                "maskgit < one-d-piece-b@1",
                "one-d-piece-b@1 < cosmos",
            ),
        ),
    ),
)
