"""Table 6: the configuration of the three stages, published and here.

Paper: Table 6 and Appendix D.2, for SFTok-B; "SFTok-L differs solely in its decoder". Nothing is trained for
this table: the columns next to the published ones are read from the profile. They are equal under
`--profile paper`; other profiles show what they change. The lines are in `table6.tsv`.

Command: `python -m experiments run table6`, or just `python -m experiments show table6 --profile paper`
Expected: seconds.
"""

from experiments.specs import Experiment, Row, read_settings

EXPERIMENT = Experiment(
    name="table6",
    kind="table",
    title="Configuration of the three stages",
    source="Table 6, Appendix D.2",
    description=(
        "The paper's configuration of SFTok-B by stage, next to that of this run's profile, which is read "
        "from its resolved configuration."
    ),
    rows=(Row(name="sftok-b", label="SFTok-B", trained=False),),
    settings=read_settings("experiments.paper", "table6.tsv"),
)
