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
        "Both rows share the teacher, its codes and every setting but the quantizer. FSQ rounds each channel "
        "of four to one of its levels, which makes 480 codes; OptVQ has as many channels and codes as the "
        "profile says."
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
