"""Run commands in parallel, each with its own log, and show their progress."""

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

from pks4_lightning.locks import hold_lock
from pks4_lightning.progress import read_progress

__all__ = ["Chain", "Command", "CommandError", "run_side_by_side"]

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
_LAST_LINES = 15


class CommandError(RuntimeError):
    """A command failed; the message contains the end of its log."""


@dataclass(frozen=True)
class Command:
    """One ``pks4`` command."""

    name: str
    """Name shown to the user."""
    arguments: tuple[str, ...]
    """Arguments after ``pks4``."""
    log: Path
    """File for its standard output and error."""
    progress: Path | None = None
    """File with its progress."""

    def __str__(self) -> str:
        """Return the command as typed in a shell."""
        return shlex.join(("pks4", *self.arguments))


@dataclass(frozen=True)
class Chain:
    """Commands that depend on each other, run one after the other."""

    commands: tuple[Command, ...]
    on_success: Callable[[], None]
    """Called when the last one has succeeded."""
    lock: Path
    """Lock file, held as long as a command runs, even if the process that started it was killed."""


def run_side_by_side(chains: Sequence[Chain], *, jobs: int, num_threads: int | None = 1) -> None:
    """Run chains of commands, some of them in parallel.

    Args:
        chains: The chains to run.
        jobs: Number of chains to run at a time.
        num_threads: OpenMP threads per command; ``None`` leaves it to the command. Two threads do
            not speed up a model as small as the demo's; two processes do.

    Raises:
        CommandError: If a command fails, or one from an earlier call is still running; other
            running commands are stopped.
        KeyboardInterrupt: After Ctrl-C or SIGTERM, when all commands have ended.
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
    """A running chain."""

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
        """Update the progress, start the next command if one has ended; return whether all have."""
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
        """Stop the command if it is running."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()

    def _start(self) -> None:
        self._command = command = self._left.pop(0)
        command.log.parent.mkdir(parents=True, exist_ok=True)
        self._bar = self._bars.add_task(command.name, total=1.0, note="")
        refusal = CommandError(
            f"{command.name}, started by an earlier command, is still running; wait for it or "
            "stop it."
        )
        with hold_lock(self._chain.lock, refusal) as lock, command.log.open("wb") as log:
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
def _interrupted_by_sigterm() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that the commands are stopped as well."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _why(command: Command, status: int) -> str:
    """Return the end of a failed command's log, and its path."""
    # the command writes its output in the locale's encoding
    lines = command.log.read_text(encoding="locale", errors="replace").splitlines()[-_LAST_LINES:]
    ending = "\n".join(f"  {line}" for line in lines) or "  (nothing)"
    return (
        f"{command.name} ended with status {status}; the last lines of {command.log}:\n{ending}\n"
        f"The command was: {command}"
    )
