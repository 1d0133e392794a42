"""The configuration files of the test cluster, all in one folder: slurm.conf, cgroup.conf, slurmdbd.conf."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

CLUSTER_NAME = "test"
MEMORY_CGROUP = Path("/sys/fs/cgroup/memory")

SLURM_CONF = """\
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld}
SlurmdPort={slurmd}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin={task_plugin}
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmdTimeout=10
SlurmctldTimeout=10
KillWait=10
UnkillableStepTimeout=60
MinJobAge=30
InactiveLimit=0
JobRequeue=1
MaxArraySize=200
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=sched_interval=2,batch_sched_delay=0,bf_interval=5,default_queue_depth=1000
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd}
AccountingStoragePass={folder}/munge.socket
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE PriorityTier=10 State=UP
PartitionName=scavenge Nodes={host} MaxTime=INFINITE PriorityTier=1 State=UP
PartitionName=brief Nodes={host} MaxTime=1 PriorityTier=10 State=UP
"""

CGROUP_CONF = """\
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
CgroupAutomount=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
"""

DBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={dbd}
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct
"""


def write_configuration(folder: Path, cpus: int, memory: int) -> int:
    """Write the files for one node of `cpus` cores and `memory` MB; returns the port of the database.

    Every daemon listens at a port that is free now.
    """
    ctld, slurmd, dbd, database = _free_ports(4)
    values = {
        "name": CLUSTER_NAME,
        "folder": folder,
        "host": socket.gethostname().split(".")[0],
        "ctld": ctld,
        "slurmd": slurmd,
        "dbd": dbd,
        "database": database,
        "cpus": cpus,
        "memory": memory,
        "task_plugin": "task/cgroup" if memory_limits() else "task/none",
    }
    (folder / "slurm.conf").write_text(SLURM_CONF.format(**values))
    (folder / "cgroup.conf").write_text(CGROUP_CONF)
    dbd_conf = folder / "slurmdbd.conf"
    dbd_conf.write_text(DBD_CONF.format(**values))
    # slurmdbd refuses a file that others can read.
    dbd_conf.chmod(0o600)
    return database


def memory_limits() -> bool:
    """True if Slurm can hold a job to its memory here: it needs cgroup v1's memory controller, writable."""
    probe = MEMORY_CGROUP / f"sftok-probe-{os.getpid()}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError:
        return False
    return True


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
