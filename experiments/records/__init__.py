"""Records read from a store: the state of every request, its numbers as one table, and its verdicts.

Importing this package loads neither pandas nor torch; `Run.frame` loads pandas.
"""

from __future__ import annotations

from experiments.records.run import ArtifactState, RowState, Run, Status, load_run, load_runs

__all__ = ["ArtifactState", "RowState", "Run", "Status", "load_run", "load_runs"]
