"""Executors: `inline` in this process, `local` by workers on this machine, `slurm` by jobs on a cluster.

All three make the same artifacts in the same store through `executors.inline.Runner`, under the same locks.
`<store>/submissions/<time>-<experiment>/` has the request, the resources and the logs of the jobs or workers
of one run. `<store>/jobs/` records which job makes which artifact, and `<store>/snapshots/` holds the code
that jobs run.
"""
