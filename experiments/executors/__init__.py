"""How artifacts are made: `inline` in this process, `local` by workers here, `slurm` by jobs on a cluster.

All three make the same artifacts in the same store through `executors.inline.Runner`, under the same locks.
Everything that the jobs or workers of one run need is in `<store>/submissions/<time>-<experiment>/`: the
request, the resources and the logs. `<store>/jobs/` says which job makes which artifact, and
`<store>/snapshots/` holds the code that jobs run.
"""
