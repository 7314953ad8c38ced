"""Commands side by side, each with its own log, and how far they are."""

import fcntl
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from pks4_lightning.progress import read_progress

__all__ = ["Chain", "Command", "CommandError", "run_side_by_side"]

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
_LAST_LINES = 15


class CommandError(RuntimeError):
    """A command ended badly; the message holds the end of its log."""


@dataclass(frozen=True)
class Command:
    """One ``pks4`` command."""

    name: str
    """What a person calls it."""
    arguments: tuple[str, ...]
    """What follows ``pks4``."""
    log: Path
    """Takes both of its outputs."""
    progress: Path | None = None
    """Where it says how far it is."""

    def __str__(self) -> str:
        """Spell the command as a person would type it."""
        return shlex.join(("pks4", *self.arguments))


@dataclass(frozen=True)
class Chain:
    """Commands that build on each other, to be run one after the other."""

    commands: tuple[Command, ...]
    on_success: Callable[[], None]
    """Called when the last one has ended well."""
    lock: Path
    """Held for as long as a command lives, even if what started it was killed."""


def run_side_by_side(chains: Sequence[Chain], *, jobs: int, num_threads: int | None = 1) -> None:
    """Run chains of commands, some of them in parallel.

    Args:
        chains: What to run.
        jobs: How many chains run at a time.
        num_threads: OpenMP threads of a command; ``None`` leaves it to the command. Two threads do
            not speed up a model as small as the demo's; two processes do.

    Raises:
        CommandError: If a command fails, or still runs from an earlier call; those still running
            are ended.
        KeyboardInterrupt: After an interruption or SIGTERM, when all commands have ended.
    """
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if num_threads is not None:
        env["OMP_NUM_THREADS"] = str(num_threads)
    waiting = list(chains)
    running: list[_Running] = []
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    bars = Progress(
        *columns,
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
    )
    with _interrupted_by_sigterm(), bars:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(_Running(waiting.pop(0), bars, env))
                time.sleep(_POLL_SECONDS)
                running = [chain for chain in running if not chain.advance()]
        finally:
            for chain in running:
                chain.stop()


class _Running:
    """A chain under way."""

    _command: Command
    _process: "subprocess.Popen[bytes]"
    _bar: TaskID

    def __init__(self, chain: Chain, bars: Progress, env: dict[str, str]) -> None:
        self._chain = chain
        self._left = list(chain.commands)
        self._bars = bars
        self._env = env
        self._start()

    def advance(self) -> bool:
        """Show how far the command is, start the next one if it has ended; tell if all have."""
        status = self._process.poll()
        if self._command.progress is not None:
            share, note = read_progress(self._command.progress)
            self._bars.update(self._bar, completed=share, note=note)
        if status is None:
            return False
        if status != 0:
            raise CommandError(_why(self._command, status))
        self._bars.update(self._bar, completed=1.0, visible=False)
        if self._left:
            self._start()
            return False
        self._chain.on_success()
        return True

    def stop(self) -> None:
        """End the command if it still runs."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()

    def _start(self) -> None:
        self._command = command = self._left.pop(0)
        command.log.parent.mkdir(parents=True, exist_ok=True)
        self._bar = self._bars.add_task(command.name, total=1.0, note="")
        with _hold(self._chain.lock, command) as lock, command.log.open("w") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command, without a shell
                [sys.executable, "-m", "pks4_lightning", *command.arguments],
                env=self._env,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(lock,),
            )
        if self._bars.disable:
            logger.info("%s: log in %s", command.name, command.log)


@contextmanager
def _hold(path: Path, command: Command) -> Iterator[int]:
    """Lock a file; whoever inherits the descriptor holds the lock on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"{command.name}, started by an earlier command, is still running; wait for it or "
                "stop it."
            ) from None
        yield file.fileno()


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C, so that the commands are ended as well."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _why(command: Command, status: int) -> str:
    """Show the end of a failed command's log and where the rest is."""
    lines = command.log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
    ending = "\n".join(f"  {line}" for line in lines) or "  (nothing)"
    return (
        f"{command.name} ended with status {status}; the last lines of {command.log}:\n{ending}\n"
        f"The command was: {command}"
    )
