"""Run commands as separate processes that a test can kill at any moment."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Launched:
    """A running ``pks4`` command, whose output is in the file ``output``."""

    def __init__(self, pid, output):
        self.pid = pid
        self.output = output
        self.status = None
        self.ended = threading.Event()

    def text(self):
        return self.output.read_text(errors="replace")

    def wait(self, timeout=120):
        """Return the exit status (-9 after a SIGKILL); fail if still running at the timeout."""
        if not self.ended.wait(timeout):
            raise AssertionError(
                f"still running after {timeout} s, with {len(self.family())} processes:\n"
                + self.text()[-3000:]
            )
        return self.status

    def wait_until(self, condition, timeout=120):
        """Wait until a condition holds; fail if the process ends first, or at the timeout."""
        deadline = time.monotonic() + timeout
        while not condition():
            if self.ended.is_set():
                if condition():
                    return
                raise AssertionError(f"ended with {self.status} before:\n{self.text()[-3000:]}")
            assert time.monotonic() < deadline, self.text()[-3000:]
            time.sleep(0.005)

    def send(self, number):
        """Send a signal to the process, but not to its children."""
        if not self.ended.is_set():
            os.kill(self.pid, number)

    def family(self):
        """Return the live processes of the command: itself and all that it has started."""
        return [pid for pid, session in _sessions() if session == self.pid]

    def kill_family(self, timeout=10):
        """Kill all processes of the command; fail if that does not end them."""
        deadline = time.monotonic() + timeout
        while family := self.family():
            assert time.monotonic() < deadline, family
            for pid in family:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


class Launcher:
    """Starts commands, with their output in ``folder``."""

    def __init__(self):
        self.folder = None
        self.launched = []
        self._pids = []
        self._answered = threading.Condition()
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("nursery.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
                "HF_HUB_OFFLINE": "1",
            },
        )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self):
        for line in self._server.stdout:
            message = json.loads(line)
            with self._answered:
                if "status" not in message:
                    self._pids.append(message["pid"])
                    self._answered.notify_all()
                    # the process must be registered before its end can be reported
                    self._answered.wait_for(lambda: not self._pids, timeout=10)
                    continue
                for process in self.launched:
                    if process.pid == message["pid"]:
                        process.status = message["status"]
                        process.ended.set()

    def start(self, *args, cwd=None, env=None, prepare=None, **given):
        """Start ``pks4 ARGS``.

        Args:
            args: The command and its arguments.
            cwd: Working directory; the test's own folder by default.
            env: Additional environment variables.
            prepare: ``module:function`` that the new process calls with ``given`` before the
                command, to plant a fault.
            given: Arguments of ``prepare``.
        """
        output = self.folder / f"output_{len(self.launched)}.txt"
        output.touch()
        request = {
            "args": [str(arg) for arg in args],
            "cwd": str(cwd or self.folder),
            "env": {key: str(value) for key, value in (env or {}).items()},
            "output": str(output),
            "prepare": prepare,
            "given": given,
        }
        with self._answered:
            self._server.stdin.write(json.dumps(request) + "\n")
            self._server.stdin.flush()
            assert self._answered.wait_for(lambda: self._pids, timeout=60), "the nursery is gone"
            process = Launched(self._pids.pop(), output)
            self.launched.append(process)
            self._answered.notify_all()
        return process

    def start_ranks(self, *args, world_size=2, **options):
        """Start the same command once per rank, like ``torchrun`` on one machine."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        env = {
            **options.pop("env", {}),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "WORLD_SIZE": world_size,
            "LOCAL_WORLD_SIZE": world_size,
            "GROUP_RANK": 0,
            "TORCHELASTIC_RUN_ID": "test",
        }
        return [
            self.start(*args, env={**env, "RANK": rank, "LOCAL_RANK": rank}, **options)
            for rank in range(world_size)
        ]

    def clear(self):
        """End all commands that are still running."""
        for process in self.launched:
            process.kill_family()
            process.ended.wait(10)
        self.launched.clear()

    def close(self):
        self._server.stdin.close()
        self._server.wait(60)
        self._listener.join(60)
        self._server.stdout.close()


def _sessions():
    """Yield the id and the session id of every live process."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # a killed process keeps its files and locks until its last thread has ended
        if fields[0] not in "ZX" or int(fields[17]) > 1:
            yield int(folder.name), int(fields[3])
