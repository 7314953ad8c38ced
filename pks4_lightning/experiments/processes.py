"""Commands side by side, each with its own log, and how far they are."""

import fcntl
import logging
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

__all__ = ["Command", "CommandError", "Stage", "read_stage", "run_side_by_side"]

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
_LAST_LINES = 15
_BATCH = re.compile(r"^(?:epoch (\d+)/(\d+)|test)\s+batch (\d+)/(\d+)", re.MULTILINE)
_TOP1 = re.compile(r"^epoch (\d+)/(\d+)\s.*val/top1 ([0-9.]+)", re.MULTILINE)


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
    on_success: Callable[[], None]
    lock: Path | None = None
    """Held for as long as the command lives, even if what started it was killed."""

    def __str__(self) -> str:
        """Spell the command as a person would type it."""
        return shlex.join(("pks4", *self.arguments))


@dataclass(frozen=True)
class Stage:
    """How far a command says it is."""

    share: float
    """0 to 1."""
    note: str
    """Epoch and latest validation accuracy, where there are any."""


def read_stage(log: str) -> Stage:
    """Find out from its log how far a training or a test is.

    Args:
        log: All lines so far.

    Returns:
        Nothing done and no note if the log does not say.
    """
    share, note = 0.0, ""
    batches, top1 = _BATCH.findall(log), _TOP1.findall(log)
    if batches:
        epoch, num_epochs, done, total = batches[-1]
        share = int(done) / int(total)
        if epoch:
            share = (int(epoch) - 1 + share) / int(num_epochs)
            note = f"epoch {epoch}/{num_epochs}"
    if top1:
        epoch, num_epochs, value = top1[-1]
        share = max(share, int(epoch) / int(num_epochs))
        note = f"epoch {epoch}/{num_epochs}, val/top1 {float(value):.1%}"
    return Stage(share, note)


def run_side_by_side(
    chains: Sequence[Sequence[Command]],
    *,
    at_once: int,
    folder: Path,
    num_threads: int | None = 1,
    brief: bool = False,
) -> None:
    """Run chains of commands: those of a chain one after the other, the chains in parallel.

    Args:
        chains: Commands that build on each other.
        at_once: How many chains run at a time.
        folder: Working directory of the commands.
        num_threads: OpenMP threads of a command; ``None`` leaves it to the command. Two threads do
            not speed up a model as small as the demo's; two processes do.
        brief: Show only what is under way, as for many commands; ``on_success`` tells the rest.

    Raises:
        CommandError: If a command fails, or still runs from an earlier call; those still running
            are ended.
    """
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if num_threads is not None:
        env["OMP_NUM_THREADS"] = str(num_threads)
    waiting = [list(chain) for chain in chains if chain]
    running: list[_Running] = []
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(
        *columns,
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    running.append(_Running(waiting.pop(0), progress, folder, env, brief=brief))
                time.sleep(_POLL_SECONDS)
                running = [chain for chain in running if not chain.advance()]
        finally:
            for chain in running:
                chain.stop()


class _Running:
    """A chain of commands under way."""

    _command: Command
    _process: "subprocess.Popen[bytes]"
    _task: TaskID
    _note: str

    def __init__(
        self,
        commands: list[Command],
        progress: Progress,
        folder: Path,
        env: dict[str, str],
        *,
        brief: bool,
    ) -> None:
        self._commands = commands
        self._progress = progress
        self._folder = folder
        self._env = env
        self._brief = brief
        self._start()

    def advance(self) -> bool:
        """Show how far the command is, start the next one if it has ended; tell if all have."""
        status = self._process.poll()
        stage = read_stage(self._command.log.read_text(errors="replace"))
        self._progress.update(self._task, completed=stage.share, note=stage.note)
        if stage.note != self._note and self._progress.disable and not self._brief:
            logger.info("%s: %s", self._command.name, stage.note)
        self._note = stage.note
        if status is None:
            return False
        if status != 0:
            raise CommandError(_why(self._command, status))
        self._progress.update(self._task, completed=1.0, visible=not self._brief)
        self._command.on_success()
        if self._commands:
            self._start()
            return False
        return True

    def stop(self) -> None:
        """End the command if it still runs."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()

    def _start(self) -> None:
        self._command = self._commands.pop(0)
        self._note = ""
        self._command.log.parent.mkdir(parents=True, exist_ok=True)
        self._task = self._progress.add_task(self._command.name, total=1.0, note="")
        if self._progress.disable and not self._brief:
            logger.info("%s: started, log in %s", self._command.name, self._command.log)
        with _hold(self._command) as held, self._command.log.open("w") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command, without a shell
                [sys.executable, "-m", "pks4_lightning", *self._command.arguments],
                cwd=self._folder,
                env=self._env,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=held,
            )


@contextmanager
def _hold(command: Command) -> Iterator[tuple[int, ...]]:
    """Lock a command's file; whoever inherits the descriptor holds the lock on."""
    if command.lock is None:
        yield ()
        return
    with command.lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"{command.name} still runs, started by an earlier command; wait for it or end it."
            ) from None
        yield (file.fileno(),)


def _why(command: Command, status: int) -> str:
    """Show the end of a failed command's log and where the rest is."""
    lines = command.log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
    ending = "\n".join(f"  {line}" for line in lines) or "  (nothing)"
    return (
        f"{command.name} ended with status {status}; the last lines of {command.log}:\n{ending}\n"
        f"The command was: {command}"
    )
