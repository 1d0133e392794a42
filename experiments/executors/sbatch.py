"""From resources to what submitit hands to `sbatch`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import submitit

from experiments.executors.resources import Resources
from experiments.running.computing import threads_of

NOTICE_SIGNAL = "USR2"
PYTHON = f"""bash -c 'trap "" USR1 USR2; exec "$0" "$@"' {shlex.quote(sys.executable)}"""
"""While Python starts nobody handles the notice yet, and unhandled it would kill the job."""


def job_setup(snapshot: Path, resources: Resources, threads: int | None) -> list[str]:
    """The lines of a job's script before Python starts: the snapshot's code, and how many threads."""
    return [
        *resources.setup,
        f'export PYTHONPATH={shlex.quote(str(snapshot))}"${{PYTHONPATH:+:$PYTHONPATH}}"',
        # Else Python would prefer the submitting folder, which may be the checkout.
        "export PYTHONSAFEPATH=1",
        f"export OMP_NUM_THREADS={threads_of(threads, resources.cpus)}",
    ]


def job_executor(
    folder: Path, resources: Resources, setup: list[str], dependencies: list[str], name: str
) -> submitit.SlurmExecutor:
    """What queues jobs with `resources`, whose files and logs go to `folder`."""
    executor = submitit.SlurmExecutor(folder, python=PYTHON)
    extra: dict[str, Any] = {"kill-on-invalid-dep": "yes", "requeue": True} | dict(resources.extra)
    parameters = {
        "job_name": name,
        "partition": resources.partition,
        "account": resources.account,
        "qos": resources.qos,
        "constraint": resources.constraint,
        "nodes": resources.nodes,
        "ntasks_per_node": resources.tasks,
        "cpus_per_task": resources.cpus,
        "gpus_per_node": resources.gpus or None,
        "mem": resources.memory,
        "time": resources.time,
        "signal_delay_s": resources.notice_seconds,
        "dependency": f"afterok:{':'.join(dependencies)}" if dependencies else None,
        "array_parallelism": resources.parallel,
        "setup": setup,
        "stderr_to_stdout": True,
        # Since 22.05 srun no longer takes this from sbatch, and would pin each task to one core.
        # And one of several processes that fails must not leave the others waiting for it.
        "srun_args": [f"--cpus-per-task={resources.cpus}", "--kill-on-bad-exit=1"],
        "additional_parameters": extra,
    }
    executor.update_parameters(**{key: value for key, value in parameters.items() if value is not None})
    return executor


def refusal(error: Exception) -> str:
    """Slurm's own complaint in what submitit raised."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    complaints = [line for line in lines if "error:" in line]
    return (
        (complaints or lines or [type(error).__name__])[-1].removeprefix("sbatch: ").removeprefix("error: ")
    )
