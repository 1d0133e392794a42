"""Asks Slurm before anything is queued: is there such a partition, can the resources ever be met."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from experiments.executors.queue import SlurmError, slurm
from experiments.executors.resources import Resources
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
        longest, _ = limits[part]
        if longest is not None and int(resources.time) > longest:
            raise SlurmError(
                f"kind {kind}: time {resources.time} min is more than partition {part} allows ({longest} min)"
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
    for line in slurm("sinfo", "-h", "-o", "%P|%l").splitlines():
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
