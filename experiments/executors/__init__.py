"""How a plan is carried out: `inline` in this process, `local` by workers here, `slurm` on a cluster.

All three make the same artifacts in the same store through `experiments.running.runner`, under the same
claims. What the jobs and workers of one `run` need lies in `<store>/submissions/<id>/`: the request, the
cluster file's values, and logs. `<store>/jobs/` says which job makes which artifact, `<store>/snapshots/`
holds the code.
"""
