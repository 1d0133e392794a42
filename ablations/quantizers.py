"""Which quantizer works best? FSQ has no codebook to learn, and none that can collapse.

Command: `python -m experiments run quantizers`
Expected: after `run table4` the cpu profile takes about five minutes more on two cores.
"""

from experiments.specs import Experiment, Row

EXPERIMENT = Experiment(
    name="quantizers",
    kind="ablation",
    title="Quantizers",
    source="Section 3.3 and arXiv 2309.15505",
    description=(
        "Both rows share the teacher, its codes and every setting but the quantizer. FSQ rounds each of "
        "four channels to one of its levels, which gives 480 codes; OptVQ has the channels and codes of the "
        "profile."
    ),
    rows=(
        Row(name="ratio-1.0", as_in="table4", label="OptVQ", published={}),
        Row(
            name="fsq",
            label="FSQ",
            overrides={
                "tokenizer.quantizer": {"name": "fsq", "levels": [8, 5, 4, 3]},
                "tokenizer.token_dim": 4,
            },
        ),
    ),
)
