"""A `python` for the jobs of a DAG, forked from one that has imported PyTorch: two seconds less for each of a hundred.

Packages of others are imported beforehand and nothing else: every job reads its script and the package anew, from the
copy of the repository that it runs in, in a process of its own. `PATH` of `environment()` begins with a folder where
`python` asks this server; what is not a script (`python -m`, `-c`) goes to the real one. Killing what asks does not
kill the job, so tests that kill use the real one.
"""

import atexit
import contextlib
import functools
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

PRELOADED = ("torch", "numpy", "pandas", "jsonschema", "requests", "scipy.special")
SHIM = """\
#!/bin/sh
case "$1" in
*.py) exec "{python}" -SE "{here}" "{socket}" "$@" ;;
*) exec "{python}" "$@" ;;
esac
"""


@functools.cache
def environment() -> dict[str, str]:
    """Start the server, which ends with this process; variables for the processes that shall use it."""
    folder = Path(tempfile.mkdtemp(prefix="forking"))
    (folder / "bin").mkdir()
    shim = folder / "bin/python"
    shim.write_text(SHIM.format(python=sys.executable, here=__file__, socket=folder / "socket"))
    shim.chmod(0o755)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "socket"))
    listener.listen(64)
    server = subprocess.Popen(
        [sys.executable, __file__, str(listener.fileno())],
        stdin=subprocess.PIPE,
        pass_fds=[listener.fileno()],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    listener.close()

    def end() -> None:
        server.communicate()  # its stdin closes, and so it ends
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return {"PATH": f"{folder / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def serve(listener: socket.socket) -> None:
    """Fork a job for everyone who asks, until stdin closes."""
    for name in PRELOADED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that look after a job
    while True:
        ready, _, _ = select.select([listener, 0], [], [])
        if 0 in ready:
            return
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            look_after(connection)
            os._exit(0)
        connection.close()


def look_after(connection: socket.socket) -> None:
    """Run the one job that is asked for and tell how it ended."""
    head, streams, _, _ = socket.recv_fds(connection, 8, 3)
    size = struct.unpack("Q", head)[0]
    with connection.makefile("rb") as said:
        job = json.loads(said.read(size))
    pid = os.fork()
    if pid == 0:
        connection.close()
        os._exit(run(job, streams))
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(struct.pack("i", os.waitstatus_to_exitcode(status)))


def run(job: dict[str, Any], streams: list[int]) -> int:
    """What `python script arguments` does."""
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    sys.argv = job["command"]
    sys.path[0] = str(Path(sys.argv[0]).absolute().parent)
    status = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        status = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status & 0xFF


def ask(address: str, command: list[str]) -> int:
    """Have a command run; its exit status."""
    job = {"command": command, "folder": os.getcwd(), "environment": dict(os.environ)}
    text = json.dumps(job).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [struct.pack("Q", len(text))], [0, 1, 2])
        connection.sendall(text)
        with connection.makefile("rb") as answer:
            status = struct.unpack("i", answer.read(4))[0]
    if status < 0:
        os.kill(os.getpid(), -status)
    return status


if __name__ == "__main__":
    if sys.argv[1].isdigit():
        serve(socket.socket(fileno=int(sys.argv[1])))
    else:
        sys.exit(ask(sys.argv[1], sys.argv[2:]))
