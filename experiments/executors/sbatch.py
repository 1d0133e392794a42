"""Turns resources into jobs: checks them before anything is queued, and sets submitit's `sbatch` options."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import submitit
from submitit.helpers import clean_env

from experiments.artifacts import Artifact
from experiments.executors.process import threads_of
from experiments.executors.queue import SlurmError, slurm
from experiments.executors.resources import Resources
from sftok.config import choices_hint

PYTHON = f"""bash -c 'trap "" USR1 USR2; exec "$0" "$@"' {shlex.quote(sys.executable)}"""
"""Ignores Slurm's notice while Python starts, before a handler is installed; otherwise it kills the job."""

DEFAULT_LARGEST_ARRAY = 1001
_NOISE = re.compile(r"^(sbatch: )?(error: )?(allocation failure: )?")


def check_processes(artifact: Artifact, resources: Resources) -> None:
    """Refuse numbers of processes and GPUs with which the job would fail.

    Raises:
        SlurmError: names the key of the cluster file.
    """
    where = f"kind {artifact.kind}"
    if artifact.device == "cuda" and resources.tasks > resources.gpus:
        count = f"{resources.tasks} process{'es' if resources.tasks > 1 else ''}"
        raise SlurmError(
            f"{where}: gpus = {resources.gpus} for {count} on each machine, and each needs its own GPU: "
            "set gpus and tasks to the same number"
        )
    processes = resources.nodes * resources.tasks
    batch = artifact.training_batch
    if artifact.parallel and batch is not None and batch % processes:
        raise SlurmError(
            f"{where}: nodes = {resources.nodes} of tasks = {resources.tasks} cannot share a batch of "
            f"{batch} images evenly ({artifact.label}): their product must divide it"
        )


def check_kind(kind: str, resources: Resources, folder: Path) -> None:
    """Ask Slurm whether it could run a job of `kind`, without queueing anything.

    Raises:
        SlurmError: it could not, or does not answer; names the kind, and the choices or the limit.
    """
    _check_partition(kind, resources)
    executor = job_executor(folder, resources, setup=[], dependencies=[], name="check")
    with tempfile.TemporaryDirectory() as place:
        script = Path(place) / "check.sh"
        script.write_text(executor._make_submission_file_text("true", ""))
        try:
            with outside_of_jobs():
                slurm("sbatch", "--test-only", str(script))
        except SlurmError as error:
            raise SlurmError(
                f"kind {kind}: Slurm would refuse the job: {_NOISE.sub('', str(error))}"
            ) from None


def _check_partition(kind: str, resources: Resources) -> None:
    limits = _partition_limits()
    name = resources.partition
    if name is None:
        name = next((each for each, (_, default) in limits.items() if default), None)
    parts = name.split(",") if name else []
    for part in parts:
        if part not in limits:
            raise SlurmError(f"kind {kind}: no partition {part!r}: {choices_hint(part, limits)}")
    # Given several partitions, Slurm chooses one that fits.
    longest = [limits[part][0] for part in parts]
    if longest and all(limit is not None and int(resources.time) > limit for limit in longest):
        most = max(limit or 0 for limit in longest)
        raise SlurmError(
            f"kind {kind}: time {resources.time} min is more than partition {name} allows ({most} min)"
        )


def _partition_limits() -> dict[str, tuple[int | None, bool]]:
    """The time limit in minutes (None if unlimited) of each partition, and whether it is the default."""
    found: dict[str, tuple[int | None, bool]] = {}
    for line in slurm("sinfo", "-a", "-h", "-o", "%P|%l").splitlines():
        name, limit = line.strip().split("|")
        found[name.removesuffix("*")] = (_limit(limit), name.endswith("*"))
    return found


def _limit(text: str) -> int | None:
    if text in ("infinite", "n/a"):
        return None
    days, _, rest = text.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    hours, minutes, seconds = [0] * (3 - len(parts)) + parts
    return (int(days or 0) * 24 + hours) * 60 + minutes + (seconds > 0)


def largest_array() -> int:
    """Maximum number of jobs in an array on this cluster."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", slurm("scontrol", "show", "config"), re.MULTILINE)
    # Slurm limits the index, which starts at 0.
    return max(1, int(match.group(1)) - 1 if match else DEFAULT_LARGEST_ARRAY - 1)


def job_setup(snapshot: Path, resources: Resources, threads: int | None) -> list[str]:
    """Script lines that run before Python and select the snapshot's code and the number of threads."""
    return [
        *resources.setup,
        f'export PYTHONPATH={shlex.quote(str(snapshot))}"${{PYTHONPATH:+:$PYTHONPATH}}"',
        # Otherwise Python would prefer the submitting folder, which may be the checkout.
        "export PYTHONSAFEPATH=1",
        f"export OMP_NUM_THREADS={threads_of(threads, resources.cpus)}",
    ]


def job_executor(
    folder: Path, resources: Resources, setup: list[str], dependencies: list[str], name: str
) -> submitit.SlurmExecutor:
    """An executor that queues jobs with `resources`; their files and logs go to `folder`."""
    executor = submitit.SlurmExecutor(folder, python=PYTHON)
    extra: dict[str, Any] = {"kill_on_invalid_dep": "yes", "requeue": True}
    extra |= {key.replace("-", "_"): value for key, value in resources.extra.items()}
    if extra.get("no_requeue"):
        del extra["requeue"]
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
        "mem": resources.memory or None,
        "time": resources.time,
        "signal_delay_s": resources.notice_seconds,
        "dependency": f"afterok:{':'.join(dependencies)}" if dependencies else None,
        "array_parallelism": resources.parallel,
        "setup": setup,
        "stderr_to_stdout": True,
        # Since 22.05 srun no longer inherits the cores from sbatch and would pin each process to one. Also,
        # the failure of one process must not leave the others waiting.
        "srun_args": [f"--cpus-per-task={resources.cpus}", "--kill-on-bad-exit=1"],
        "additional_parameters": {key: value for key, value in extra.items() if value is not False},
    }
    # What the cluster file says by an option's name replaces what it says otherwise.
    given = {key: value for key, value in parameters.items() if value is not None and key not in extra}
    executor.update_parameters(**given)
    return executor


@contextlib.contextmanager
def outside_of_jobs() -> Iterator[None]:
    """The block in which variables of a surrounding job are hidden, as jobs would inherit them.

    Outside of a job, such variables are the user's own choice.
    """
    configuration = os.environ.get("SLURM_CONF")
    with clean_env() if "SLURM_JOB_ID" in os.environ else contextlib.nullcontext():
        if configuration is not None:
            os.environ["SLURM_CONF"] = configuration
        yield


def queue_jobs(
    executor: submitit.SlurmExecutor, calls: Sequence[Callable[[], None]], what: str
) -> list[submitit.Job[None]]:
    """Queue `calls`; several are queued as one array.

    Raises:
        SlurmError: Slurm refuses `what`; the message has Slurm's reason.
    """
    try:
        with outside_of_jobs():
            if len(calls) == 1:
                return [executor.submit(calls[0])]
            return list(executor.submit_array(list(calls)))
    except submitit.core.utils.FailedJobError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        complaints = [line for line in lines if "error:" in line] or lines or [type(error).__name__]
        reason = complaints[-1].removeprefix("sbatch: ").removeprefix("error: ")
        raise SlurmError(f"Slurm refuses {what}: {reason}") from None
