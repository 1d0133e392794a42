"""Job states from Slurm: `squeue` for queued and running jobs, `sacct` for ended ones.

A state is one of Slurm's (PENDING, RUNNING, FAILED, OUT_OF_MEMORY, ...) or one of two others: UNKNOWN if the
job is gone and there is no accounting, MISSING if accounting does not know the job. submitit also reads
states, but not exit codes, signals, reasons, or the job steps that show what killed a job.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

LIVE = frozenset(
    {
        *("PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD"),
        *("REQUEUE_FED", "RESIZING", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED", "RESV_DEL_HOLD"),
    }
)
"""States of jobs that may still make their artifacts."""

QUEUED = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED"})
"""Live states of jobs that will start, for the first time or again."""

ENDED_BY_STEP = ("FAILED", "COMPLETED", "OUT_OF_MEMORY")
"""States of jobs whose steps may give a more specific reason."""

AT_ONCE = 400
"""Maximum number of job ids per call."""

TIMEOUT_SECONDS = 60

_NO_ACCOUNTING = re.compile(r"accounting.*disabled|sacct is not installed", re.IGNORECASE)
"""Messages of `sacct` on a cluster without accounting, as opposed to a temporary failure."""


class SlurmError(RuntimeError):
    """Slurm does not answer, or refuses; the message is Slurm's."""


@dataclass(frozen=True, kw_only=True)
class JobState:
    """The state of one job, as Slurm reports it."""

    state: str
    reason: str = ""
    """Why the job waits, in Slurm's words (Priority, Resources, Dependency ...)."""
    exit_code: int = 0
    signal: int = 0
    user: str = ""
    """The user who canceled the job."""
    node: str = ""

    @property
    def live(self) -> bool:
        """Whether the job may still make its artifact."""
        return self.state in LIVE


def slurm(*command: str) -> str:
    """Run a Slurm client program and return its output.

    Raises:
        SlurmError: the program is not installed, does not answer, or fails.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    except FileNotFoundError:
        raise SlurmError(
            f"{command[0]} is not installed here: run this where the cluster's commands are"
        ) from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]} did not answer within {TIMEOUT_SECONDS} s") from None
    if done.returncode != 0:
        said = [line.strip() for line in (done.stderr or done.stdout).splitlines()]
        lines = [line for line in said if line and not line.startswith('Try "')]
        raise SlurmError(lines[-1] if lines else f"{command[0]}: exit code {done.returncode}")
    return done.stdout


def requeue() -> None:
    """Requeue this job, unless Slurm has already ended (scancel) or requeued it."""
    # Imported here, so that commands that only read states, such as `status`, do not wait for it.
    from submitit.slurm.slurm import SlurmJobEnvironment

    job = SlurmJobEnvironment().job_id
    try:
        if "JobState=RUNNING" in slurm("scontrol", "show", "job", job):
            slurm("scontrol", "requeue", job)
            print(f"job {job} is back in the queue", flush=True)
    except SlurmError as error:
        # Slurm requeues preempted jobs itself, so only a job that is out of time ends here.
        print(f"job {job} could not be put back into the queue: {error}", file=sys.stderr, flush=True)


def job_states(jobs: Iterable[str]) -> dict[str, JobState]:
    """The states of jobs by id (`12`, or `12_3` in an array).

    Raises:
        SlurmError: the controller or an existing accounting service does not answer.
    """
    jobs = set(jobs)
    if not jobs:
        return {}
    known = {job: state for job, state in _queued(jobs).items() if job in jobs}
    found = {job: state for job, state in known.items() if state.live}
    gone = jobs - set(found)
    try:
        ended = _accounted(gone)
        unheard = "MISSING"
    except SlurmError as error:
        if not _NO_ACCOUNTING.search(str(error)):
            raise
        # For a few minutes the controller remembers how a job ended, but not why.
        ended, unheard = known, "UNKNOWN"
    return found | {job: ended.get(job, JobState(state=unheard)) for job in gone}


def _queued(jobs: set[str]) -> dict[str, JobState]:
    found = {}
    for some in _batches(jobs):
        try:
            text = slurm("squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%r|%N", "-j", some)
        except SlurmError as error:
            # The error if the controller has forgotten all of these jobs.
            if "Invalid job id" in str(error):
                continue
            raise
        for line in text.splitlines():
            job, state, reason, node = line.split("|", 3)
            found[job] = JobState(state=state, reason="" if reason == "None" else reason, node=node)
    return found


def _accounted(jobs: set[str]) -> dict[str, JobState]:
    found: dict[str, JobState] = {}
    out_of_memory, killed = set(), {}
    for some in _batches(jobs):
        table = slurm("sacct", "-n", "-P", "-o", "JobID,State,ExitCode,NodeList", "-j", some)
        for line in table.splitlines():
            identifier, state, code, node = line.split("|", 3)
            job, _, step = identifier.partition(".")
            word, _, rest = state.partition(" ")
            exit_code, number = (int(part or 0) for part in code.partition(":")[::2])
            if not step:
                user = rest.removeprefix("by ")
                ended = JobState(state=word, exit_code=exit_code, signal=number, user=user, node=node)
                found |= dict.fromkeys(_members(job), ended)
            elif word == "OUT_OF_MEMORY":
                out_of_memory.add(job)
            elif number and step.isdigit():
                killed[job] = number
    # A job fails because one of its steps did; only the step's line says if it was out of memory or killed.
    for job, ended in found.items():
        if ended.state in ENDED_BY_STEP and job in out_of_memory:
            found[job] = replace(ended, state="OUT_OF_MEMORY")
        elif ended.state == "FAILED" and job in killed:
            found[job] = replace(ended, signal=killed[job])
    return found


def _members(job: str) -> list[str]:
    """The jobs of one line of accounting; array tasks that never started share a line, `12_[0-2,5%3]`."""
    array, together, places = job.partition("_[")
    if not together:
        return [job]
    members = []
    for span in places.rstrip("]").partition("%")[0].split(","):
        first, _, last = span.partition("-")
        members += [f"{array}_{place}" for place in range(int(first), int(last or first) + 1)]
    return members


def _batches(jobs: set[str]) -> Iterator[str]:
    """Lists of job ids for one call each, with arrays as a whole."""
    whole = sorted({job.partition("_")[0] for job in jobs}, key=int)
    for start in range(0, len(whole), AT_ONCE):
        yield ",".join(whole[start : start + AT_ONCE])
