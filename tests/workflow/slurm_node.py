"""A real SLURM on this machine for as long as a test needs it: munged, slurmctld and slurmd of its own.

Everything lies in one folder (keys, sockets, state, logs) and listens on loopback ports that were free. Only the
configuration is linked from /etc/slurm, where Snakemake's jobs look for it (they drop SLURM_CONF); where a real one
lies there already, nothing is touched and `NoSlurm` says so. Needs root and Debian's packages slurm-wlm and munge.

    with slurm_node(folder):
        subprocess.run(["sbatch", ...])

By hand, to look around: python tests/workflow/slurm_node.py FOLDER COMMAND...
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("setpriv", "slurmctld", "slurmd", "munged", "sbatch", "srun", "squeue", "scontrol")
ETC = Path("/etc/slurm")
GPUS = 2
CONF = """\
ClusterName=test
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
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
JobCompType=jobcomp/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
EnforcePartLimits=ALL
MinJobAge=3600
MaxArraySize=2001
MaxJobCount=5000
KillWait=2
InactiveLimit=0
Waittime=0
OverTimeLimit=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE DefMemPerNode=500 OverTimeLimit=0 State=UP
"""


class NoSlurm(Exception):
    """This machine cannot run a SLURM; the message says why."""


def missing() -> str | None:
    """Why there can be no SLURM here, or None."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)} not installed (Debian: apt-get install slurm-wlm munge)"
    return None if os.getuid() == 0 else "slurmd needs root"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _log_tail(folder: Path) -> str:
    return "\n".join(f"{f.name}: {f.read_text(errors='replace')[-1500:]}" for f in sorted(folder.glob("*.log")))


def _fake_gpus(folder: Path) -> list[str]:
    """Device files that SLURM may hand out; the third and later would need others."""
    return ["/dev/null", "/dev/zero"][:GPUS]


@contextlib.contextmanager
def slurm_node(folder: Path, cpus: int = 4, memory_mb: int = 200_000) -> Iterator[None]:
    """Start the three daemons in `folder`, stop them at the end.

    Args:
        cpus: what the node claims to have; jobs beyond the machine's own share its cores.
        memory_mb: likewise.

    Raises:
        NoSlurm: a daemon would not start or the node does not come up; with the ends of the logs.
    """
    if (why := missing()) is not None:
        raise NoSlurm(why)
    turn = open("/tmp/seqscale-slurm.lock", "w")  # noqa: SIM115 (held to the end: one at a time on a machine)
    fcntl.flock(turn, fcntl.LOCK_EX)
    links = {ETC / name: folder.resolve() / name for name in ("slurm.conf", "gres.conf", "cgroup.conf")}
    for link in links:
        if link.exists() and not link.is_symlink():
            raise NoSlurm(f"{link} is there: this machine has a SLURM of its own")
    folder = folder.resolve()
    (folder / "state").mkdir(parents=True)
    (folder / "spool").mkdir()
    os.chmod(folder, 0o755)
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    host = socket.gethostname().split(".")[0]
    ctld, slurmd = _free_ports(2)
    values = {"host": host, "folder": folder, "ctld": ctld, "slurmd": slurmd}
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(**values, cpus=cpus, memory=memory_mb, gpus=GPUS))
    (folder / "gres.conf").write_text(
        "".join(f"NodeName={host} Name=gpu File={device}\n" for device in _fake_gpus(folder))
    )
    (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    munged = [
        "munged",
        "--foreground",
        "--force",
        f"--key-file={key}",
        f"--socket={folder}/munge.socket",
        f"--pid-file={folder}/munged.pid",
        f"--seed-file={folder}/munged.seed",
        f"--log-file={folder}/munged.log",
    ]
    commands = [munged, ["slurmctld", "-D", "-f", str(conf)], ["slurmd", "-D", "-f", str(conf), "-N", host]]
    daemons: list[subprocess.Popen[bytes]] = []
    for link, file in links.items():
        link.unlink(missing_ok=True)
        link.symlink_to(file)
    try:
        for command in commands:  # setpriv: whatever becomes of this process, no daemon outlives it
            with open(folder / f"{command[0]}.out.log", "wb") as out:
                daemons.append(
                    subprocess.Popen(
                        ["setpriv", "--pdeathsig", "TERM", *command],
                        env=environment,
                        stdout=out,
                        stderr=out,
                        start_new_session=True,
                    )
                )
            _wait_for(lambda: (folder / "munge.socket").exists(), daemons, folder, "munged's socket")
        _wait_for(lambda: "idle" in _say(["sinfo", "-h", "-o", "%t"], environment), daemons, folder, "an idle node")
        yield
    finally:
        with contextlib.suppress(Exception):
            _say(["scancel", "--user=root"], environment)
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
        for daemon in daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for link in links:
            link.unlink(missing_ok=True)
        turn.close()


def _say(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    return done.stdout.strip()


def _wait_for(condition, daemons: list[subprocess.Popen[bytes]], folder: Path, what: str) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 40
    while not condition():
        dead = [d.args[3] for d in daemons if d.poll() is not None]  # type: ignore[index]
        if dead or time.monotonic() > deadline:
            raise NoSlurm(
                f"waited in vain for {what}" + (f"; ended: {dead}" if dead else "") + f"\n{_log_tail(folder)}"
            )
        time.sleep(0.1)


if __name__ == "__main__":
    with slurm_node(Path(sys.argv[1])):
        sys.exit(subprocess.run(sys.argv[2:]).returncode)
