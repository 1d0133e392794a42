"""Asks Slurm before anything is queued: is there such a partition, can the resources ever be met."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from experiments.artifacts import Artifact
from experiments.executors.queue import SlurmError, slurm
from experiments.executors.resources import Resources
from experiments.tasks import PARALLEL_KINDS
from sftok.config import choices_hint

DEFAULT_LARGEST_ARRAY = 1001
_NOISE = re.compile(r"^(sbatch: )?(error: )?(allocation failure: )?")


def check_limits(kind: str, resources: Resources) -> None:
    """Refuse a partition that does not exist, and a time above the partition's.

    Raises:
        SlurmError: with the choices, or the partition's limit.
    """
    limits = _partition_limits()
    name = resources.partition
    if name is None:
        name = next((each for each, (_, default) in limits.items() if default), None)
    for part in name.split(",") if name else ():
        if part not in limits:
            raise SlurmError(f"kind {kind}: no partition {part!r}: {choices_hint(part, limits)}")
    # Of several partitions Slurm takes one that fits.
    longest = [limits[part][0] for part in (name.split(",") if name else ())]
    if longest and all(limit is not None and int(resources.time) > limit for limit in longest):
        most = max(limit or 0 for limit in longest)
        raise SlurmError(
            f"kind {kind}: time {resources.time} min is more than partition {name} allows ({most} min)"
        )


def check_processes(artifact: Artifact, resources: Resources) -> None:
    """Refuse numbers of processes and GPUs with which the job could only fail.

    Raises:
        SlurmError: names the key of the cluster file.
    """
    where = f"kind {artifact.kind}"
    if artifact.device == "cuda" and resources.tasks > resources.gpus:
        many = f"{resources.tasks} process{'es' if resources.tasks > 1 else ''}"
        raise SlurmError(
            f"{where}: gpus = {resources.gpus} for {many} on each machine, and each needs a GPU of its own: "
            "set gpus and tasks to the same number"
        )
    processes = resources.nodes * resources.tasks
    batch = artifact.config.get("training", {}).get("batch_size")
    if artifact.kind in PARALLEL_KINDS and batch is not None and batch % processes:
        raise SlurmError(
            f"{where}: nodes = {resources.nodes} of tasks = {resources.tasks} cannot share a batch of "
            f"{batch} images evenly ({artifact.label}): their product must divide it"
        )


def try_out(kind: str, script: str) -> None:
    """Ask Slurm whether it could ever run `script`.

    Raises:
        SlurmError: it could not, or does not answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "check.sh"
        path.write_text(script)
        try:
            slurm("sbatch", "--test-only", str(path))
        except SlurmError as error:
            raise SlurmError(
                f"kind {kind}: Slurm would refuse the job: {_NOISE.sub('', str(error))}"
            ) from None


def largest_array() -> int:
    """How many jobs an array of this cluster may have."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", slurm("scontrol", "show", "config"), re.MULTILINE)
    # Slurm's limit is for the index, which starts at 0.
    return max(1, int(match.group(1)) - 1 if match else DEFAULT_LARGEST_ARRAY - 1)


def _partition_limits() -> dict[str, tuple[int | None, bool]]:
    """Longest time in minutes (None without a limit) by partition, and whether it is the default one."""
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
