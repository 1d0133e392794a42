"""Table 6: the configuration of the three stages, published and here.

Paper: Table 6 and Appendix D.2, for SFTok-B; "SFTok-L differs solely in its decoder". Nothing is trained for
this table: the columns beside the published ones are read from the profile, so that under `--profile paper`
both are the same, and elsewhere it shows what a profile changes. Its lines are in `table6.tsv`.

Command: `python -m experiments run table6`, or at once `python -m experiments show table6 --profile paper`
Expected: seconds.
"""

from experiments.specs import Experiment, Row, read_settings

EXPERIMENT = Experiment(
    name="table6",
    kind="table",
    title="Configuration of the three stages",
    source="Table 6, Appendix D.2",
    description=(
        "The paper's configuration of SFTok-B by stage, and what the profile of this run says instead. "
        "Values of the profile are read from its resolved configuration."
    ),
    rows=(Row(name="sftok-b", label="SFTok-B", trained=False),),
    settings=read_settings("experiments.paper", "table6.tsv"),
)
