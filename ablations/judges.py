"""Which feature spaces can be trusted to judge image quality?

Images are degraded in steps of known order: a growing share of the teacher's codes is replaced, or blur,
JPEG compression, noise, shift or contrast increases. A space whose FID does not increase with the degradation
is not a reliable judge. docs/protocol.md has the rule that selects the primary space from these results.

Command: `python -m experiments run judges`
Expected: about 20 minutes on two cores at the cpu profile, mostly for the networks with other seeds.
"""

from experiments.specs import Experiment, Row

EXPERIMENT = Experiment(
    name="judges",
    kind="ablation",
    title="Calibration of the feature spaces",
    source="our own question, not one of the paper",
    description=(
        "FID of images that are degraded in known ways, in every feature space of the profile: whether FID "
        "rises with the degradation, how many images this needs, how much FID varies with the training seed "
        "of the space's network, and whether FID rates blurred or wrong images as worse."
    ),
    rows=(Row(name="calibration", label="Calibration", subject="teacher", measures="calibration"),),
)
