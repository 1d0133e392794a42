"""Which feature spaces can be trusted to judge?

Images are made worse in ways whose order is known: a growing share of the teacher's codes is replaced, or
blur, JPEG, noise, shift and contrast grow. A space in which FID does not follow is no judge. The rule that
picks the primary space from this is in docs/protocol.md.

Command: `python -m experiments run judges`
Expected: at the cpu profile about 20 minutes on two cores, most of them for networks of further seeds.
"""

from experiments.specs import Experiment, Row

EXPERIMENT = Experiment(
    name="judges",
    kind="ablation",
    title="Calibration of the feature spaces",
    source="a question of ours, not of the paper",
    description=(
        "FID of images that were made worse in known ways, in every feature space of the profile: whether it "
        "follows, how many images that takes, how far the seed of the space's own network moves it, and "
        "whether blurred or wrong images are worse to it."
    ),
    rows=(Row(name="calibration", label="Calibration", subject="teacher", measures="calibration"),),
)
