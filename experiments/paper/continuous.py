"""Section 1: how far discrete tokenizers lag behind continuous ones.

Paper: the abstract and Section 1, which give no numbers. The continuous tokenizers are those of Table 2's
diffusion models.

Command: `python -m experiments run continuous`
Expected: after `run table1` and `run table2` only two evaluations are left.
"""

from experiments.specs import Claim, Experiment, Row

EXPERIMENT = Experiment(
    name="continuous",
    kind="table",
    title="Discrete and continuous tokenizers",
    source="Section 1",
    description=(
        "Reconstructions by the two continuous tokenizers of Table 2 and by discrete ones of Table 1: the 2D "
        "teacher, LlamaGen (a larger codebook with few channels) and SFTok. All except SFTok are trained on "
        "pixels with the same steps, batches and loss. Continuous latents have no ids, and therefore no rate "
        "in bits."
    ),
    rates=True,
    rows=(
        Row(name="ldm-4", as_in="table2", measures="reconstruction", published={}),
        Row(name="dc-ae", as_in="table2", measures="reconstruction", published={}),
        Row(name="maskgit", as_in="table1", published={}),
        Row(name="llamagen-l", as_in="table1", published={}),
        Row(name="sftok-b", as_in="table1", published={}),
        Row(name="sftok-l", as_in="table1", published={}),
    ),
    claims=(
        Claim(
            name="discrete-lags-behind-continuous",
            text="Discrete tokenizers still lag behind continuous ones",
            source="Abstract",
            order=("ldm-4 < maskgit", "ldm-4 < llamagen-l", "dc-ae < maskgit", "dc-ae < llamagen-l"),
        ),
        Claim(
            name="sftok-narrows-the-gap",
            text="SFTok bridges the gap: it reconstructs better than the discrete tokenizers on a 2D grid",
            source="Title, Section 1",
            order=(
                "sftok-b@8 < maskgit",
                "sftok-b@8 < llamagen-l",
                "sftok-l@8 < maskgit",
                "sftok-l@8 < llamagen-l",
            ),
        ),
    ),
)
