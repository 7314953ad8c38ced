"""The process from which launched commands are forked, so that imports happen only once.

Run as a script by ``launch.py``. It reads one JSON object per line from standard input, forks, and
answers with a line ``{"pid": ...}``; when a child ends it writes ``{"pid": ..., "status": ...}``.
A child runs one ``pks4`` command in a session of its own, as a process started by a shell would.
"""

import importlib
import json
import os
import select
import signal
import sys
from pathlib import Path

import pks4_lightning.cli.lightning_cli  # noqa: F401 - imported once, before forking


def say(**message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def serve():
    """Fork on request; return the request in a child, and None at the end of input."""
    waiting = b""
    while True:
        readable, _, _ = select.select([0], [], [], 0.02)
        if readable:
            block = os.read(0, 1 << 20)
            if not block:
                return None
            *lines, waiting = (waiting + block).split(b"\n")
            for line in lines:
                request = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    return request
                say(pid=pid)
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            continue
        if pid:
            say(pid=pid, status=os.waitstatus_to_exitcode(status))


def become(request):
    """Turn this fork into the requested process."""
    os.setsid()
    # SIGINT may be ignored here, as in background jobs of a script
    signal.signal(signal.SIGINT, signal.default_int_handler)
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    sys.argv = ["pks4", *request["args"]]
    if request["prepare"] is not None:
        module, function = request["prepare"].split(":")
        getattr(importlib.import_module(module), function)(**request["given"])


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    job = serve()
    if job is not None:
        become(job)
        from pks4_lightning.__main__ import main

        sys.exit(main(job["args"]))
