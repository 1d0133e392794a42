"""A real Slurm cluster of one node on this machine, with accounting, for tests.

    python tests/slurm/cluster.py run               starts one, prints the SLURM_CONF to export, and stays
                                                    until Ctrl-C
    python tests/slurm/cluster.py run COMMAND ...   runs COMMAND on one, waits until the queue is empty too,
                                                    and ends with COMMAND's exit code
    python tests/slurm/cluster.py start FOLDER      leaves one running
    python tests/slurm/cluster.py stop FOLDER       ends it

Table 4 at the `cpu` profile through a real Slurm, then its numbers:

    export OMP_NUM_THREADS=1
    python tests/slurm/cluster.py run python -m experiments run table4 --yes --executor slurm --store runs
    python -m experiments collect table4 --store runs && python -m experiments results table4 --store runs

Ctrl-C ends the jobs with the cluster; the same command resumes from their checkpoints.

Everything is in FOLDER (or a temporary folder) and on the loopback interface, at ports of its own: munged,
MariaDB, slurmdbd, slurmctld and slurmd, started by hand without systemd. It needs root and the packages of
`PACKAGES`.

Partitions: `main` (the default), `scavenge` (preempted by main: requeued), `brief` (one minute at most).
Memory limits hold where cgroup v1 folders can be written to: `slurm_files.memory_limits`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from slurm_files import CLUSTER_NAME, write_configuration

PACKAGES = ("slurm-wlm", "munge", "mariadb-server", "slurmdbd")
PROGRAMS = (
    "munged",
    "mariadbd",
    "mariadb-install-db",
    "mariadb",
    "slurmdbd",
    "slurmctld",
    "slurmd",
    "sbatch",
    "sacct",
)
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


def why_missing() -> str | None:
    """Why no cluster can be started here, or None."""
    missing = [program for program in PROGRAMS if _program(program) is None]
    if missing:
        return f"no {', '.join(missing)} here; apt-get install -y {' '.join(PACKAGES)}"
    if os.geteuid() != 0:
        return "the test cluster's daemons need root"
    return None


class Cluster:
    """The daemons in a folder; each can be killed and started again by itself."""

    def __init__(self, folder: Path, cpus: int = 4, memory: int = 8000):
        # More cores than there may be: the tests' jobs mostly sleep. Memory is what holds real jobs back.
        self.folder = folder.absolute()
        self.cpus, self.memory = cpus, memory
        self.conf = self.folder / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to find the cluster."""
        return {"SLURM_CONF": str(self.conf), "PATH": f"{os.environ['PATH']}:{SYSTEM_PATH}"}

    def start(self) -> None:
        """Start everything and wait until the node is idle."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        for name in ("state", "spool", "database"):
            (self.folder / name).mkdir(exist_ok=True)
        port = write_configuration(self.folder, self.cpus, self.memory)
        self._start_munge()
        self._start_database(port)
        self._spawn("slurmdbd", ["slurmdbd", "-D"], SLURM_CONF=str(self.conf))
        _wait("slurmdbd", lambda: self.command("sacctmgr", "-n", "list", "cluster").returncode == 0)
        added = self.command("sacctmgr", "-i", "add", "cluster", CLUSTER_NAME)
        if added.returncode != 0:
            raise RuntimeError(f"sacctmgr: {added.stdout}{added.stderr}")
        self.start_slurmctld()
        self.start_slurmd()
        _wait("an idle node", lambda: "idle" in self.command("sinfo", "-h", "-o", "%t").stdout)

    def start_slurmctld(self) -> None:
        """Start the controller; it takes up the state that it saved."""
        self._spawn("slurmctld", ["slurmctld", "-D", "-f", str(self.conf)])

    def start_slurmd(self) -> None:
        """Start the node's daemon."""
        self._spawn("slurmd", ["slurmd", "-D", "-f", str(self.conf)])

    def kill(self, daemon: str, number: int = signal.SIGKILL) -> None:
        """End one daemon by a signal and wait until it is gone."""
        pids = self._pids()
        pid = pids.pop(daemon)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        _wait(f"the end of {daemon}", lambda: not _alive(pid))
        self._save_pids(pids)

    def lose_node(self) -> None:
        """As if the node's plug were pulled: its daemon and all of its jobs' processes are gone at once."""
        self.kill("slurmd")
        self._kill_steps()

    def _kill_steps(self) -> None:
        """Kill the jobs' own daemons, which have this cluster's log open, and all that they started."""
        children: dict[int, list[int]] = {}
        daemons = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, IndexError):
                name, fields = (folder / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
                children.setdefault(int(fields.split()[1]), []).append(int(folder.name))
                if name == "slurmstepd" and str(self.folder / "slurmd.log") in _open_files(folder):
                    daemons.append(int(folder.name))
        doomed = list(daemons)
        for pid in doomed:
            doomed.extend(children.get(pid, []))
        for pid in doomed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """End everything, jobs first, latest daemon first."""
        if "slurmctld" in self._pids():
            self.command("scancel", "--me")
        self._kill_steps()
        for daemon in ("slurmctld", "slurmd", "slurmdbd", "mariadbd", "munged"):
            if daemon in self._pids():
                self.kill(daemon, signal.SIGTERM)

    def command(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a client program of Slurm."""
        return subprocess.run(
            arguments, env=os.environ | self.environment, capture_output=True, text=True, timeout=timeout
        )

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        files = {
            "key-file": key,
            "socket": "munge.socket",
            "pid-file": "munged.pid",
            "log-file": "munged.log",
        }
        files["seed-file"] = "munge.seed"
        options = [f"--{option}={self.folder / name}" for option, name in files.items()]
        self._spawn("munged", ["munged", "--foreground", "--force", *options])
        _wait("munged", (self.folder / "munge.socket").exists)

    def _start_database(self, port: int) -> None:
        data = self.folder / "database"
        with (self.folder / "install-db.log").open("w") as log:
            subprocess.run(
                [
                    *("mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=root"),
                    *("--auth-root-authentication-method=normal", "--skip-test-db"),
                ],
                check=True,
                stdout=log,
                stderr=log,
            )
        socket_path = data / "db.socket"
        place = [
            f"--datadir={data}",
            f"--socket={socket_path}",
            f"--pid-file={data}/db.pid",
            f"--port={port}",
        ]
        small = [
            "--innodb-buffer-pool-size=32M",
            "--innodb-log-file-size=16M",
            "--innodb-lock-wait-timeout=900",
        ]
        self._spawn(
            "mariadbd",
            ["mariadbd", "--no-defaults", "--user=root", "--bind-address=127.0.0.1", *place, *small],
        )
        client = ["mariadb", "--no-defaults", f"--socket={socket_path}", "-e"]
        _wait("mariadbd", lambda: subprocess.run([*client, "select 1"], capture_output=True).returncode == 0)
        grants = "".join(
            f"create user 'slurm'@'{host}' identified by 'slurm';"
            f"grant all on slurm_acct.* to 'slurm'@'{host}';"
            for host in ("localhost", "127.0.0.1")
        )
        subprocess.run([*client, f"create database slurm_acct; {grants}"], check=True)

    def _spawn(self, name: str, command: list[str], **environment: str) -> None:
        program = _program(command[0])
        if program is None:
            raise FileNotFoundError(command[0])
        with (self.folder / f"{name}.out").open("a") as log:
            process = subprocess.Popen(
                [program, *command[1:]],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                cwd=self.folder,
                env=os.environ | self.environment | environment,
            )
        self._save_pids(self._pids() | {name: process.pid})

    def _pids(self) -> dict[str, int]:
        try:
            pids: dict[str, int] = json.loads((self.folder / "pids.json").read_text())
        except FileNotFoundError:
            return {}
        return pids

    def _save_pids(self, pids: dict[str, int]) -> None:
        (self.folder / "pids.json").write_text(json.dumps(pids))


def _open_files(process: Path) -> set[str]:
    return {str(link.readlink()) for link in (process / "fd").iterdir()}


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:{SYSTEM_PATH}")


def _alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wait(what: str, ready: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.2)


@contextlib.contextmanager
def temporary_cluster() -> Iterator[Cluster]:
    """A running cluster in a folder of its own; both are gone after the block."""
    # Sockets have short names: not in a deep folder.
    folder = Path(tempfile.mkdtemp(prefix="sftok-slurm-"))
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def run(command: list[str]) -> int:
    """Run `command` on a new cluster and let its jobs end; without a command stay until told to stop."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with temporary_cluster() as cluster:
        print(f"export SLURM_CONF={cluster.conf}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            if not command:
                signal.pause()
            done = subprocess.run(command, env=os.environ | cluster.environment)
            while done.returncode == 0 and cluster.command("squeue", "-h").stdout.strip():
                time.sleep(1)
            return done.returncode
    return 130 if command else 0


def main(arguments: list[str]) -> int:
    """See the top of this file."""
    if arguments[:1] != ["run"] and (len(arguments) != 2 or arguments[0] not in ("start", "stop")):
        print(__doc__, file=sys.stderr)
        return 2
    if arguments[0] == "stop":
        Cluster(Path(arguments[1])).stop()
        return 0
    reason = why_missing()
    if reason:
        print(reason, file=sys.stderr)
        return 1
    if arguments[0] == "run":
        return run(arguments[1:])
    cluster = Cluster(Path(arguments[1]))
    cluster.start()
    print(f"export SLURM_CONF={cluster.conf}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
