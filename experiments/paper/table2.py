"""Table 2: class-conditional generation by MaskGIT on the tokens of different tokenizers.

Paper: Table 2 and Section 4.3: gFID on ImageNet in 8 sampling steps, "with the model parameter configuration
consistent with the original MaskGIT". Four of its rows are trained here: one and the same generator, on the
ids of the 2D teacher and of three 1D tokenizers of Table 1, which are shared with it. Section 4.3 also says
that SFTok is superior to the diffusion models of the table; of its own two, DC-AE has the lower gFID.

Command: `python -m experiments run table2`
Expected: after `run table1` the cpu profile takes about a quarter of an hour more on two cores.
"""

from experiments.specs import Claim, Experiment, read_rows

_CONTINUOUS = {"subject": "pixels", "measures": "generation"}
_OF_TABLE_1 = {"as_in": "table1", "measures": "generation"}

EXPERIMENT = Experiment(
    name="table2",
    kind="table",
    title="Class-conditional generation",
    source="Table 2, Section 4.3",
    description=(
        "MaskGIT, a bidirectional transformer over token ids, samples an image of each class in turn in 8 "
        "steps. The rows trained here differ in the tokenizer alone: its ids are what the generator learns, "
        "its decoder turns them into images. Guidance and temperature are chosen for each row on images of "
        "the training set, among the same grid. LDM-4 and DC-AE have continuous tokenizers, trained on "
        "pixels as the 2D systems of Table 1, and a diffusion model of their latents, sampled by DDIM."
    ),
    facts=("#Type",),
    rates=True,
    rows=read_rows(
        "experiments.paper",
        "table2.tsv",
        metric="gfid",
        trained={
            "ldm-4": _CONTINUOUS | {"variants": ("ldm-4",)},
            "dc-ae": _CONTINUOUS | {"variants": ("dc-ae",)},
            "maskgit": _OF_TABLE_1,
            "titok-b": {**_OF_TABLE_1, "steps": None},
            "sftok-b": _OF_TABLE_1,
            "sftok-l": _OF_TABLE_1,
        },
    ),
    claims=(
        Claim(
            name="sftok-beats-maskgit",
            text="Generation on SFTok's tokens outperforms MaskGIT: 2.32 and 2.29 against 6.18 gFID",
            source="Section 4.3",
            metric="gfid",
            order=("sftok-b@8 < maskgit@8", "sftok-l@8 < maskgit@8"),
        ),
        Claim(
            name="sftok-beats-titok-in-generation",
            text="It outperforms the other transformers of the table, TiTok-B-64 among them: 2.48 gFID",
            source="Section 4.3",
            metric="gfid",
            order=("sftok-b@8 < titok-b@8", "sftok-l@8 < titok-b@8"),
        ),
        Claim(
            name="sftok-beats-diffusion",
            text="SFTok is superior to the diffusion models of the table; of these, DC-AE has 1.88 there",
            source="Section 4.3",
            metric="gfid",
            order=(
                "sftok-b@8 < ldm-4",
                "sftok-l@8 < ldm-4",
                "sftok-b@8 < dc-ae",
                "sftok-l@8 < dc-ae",
            ),
        ),
        Claim(
            name="dc-ae-beats-ldm",
            text="Of the diffusion models, DC-AE has the lower gFID: 1.88 against 3.60",
            source="Table 2",
            metric="gfid",
            order="dc-ae < ldm-4",
        ),
        Claim(
            name="larger-decoder-generates-better",
            text="SFTok-L's tokens give better images than SFTok-B's: 2.29 against 2.32 gFID",
            source="Table 2",
            metric="gfid",
            order="sftok-l@8 < sftok-b@8",
        ),
    ),
)
