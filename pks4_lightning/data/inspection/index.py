"""Decode every file of a data set once, in processes that may crash.

A file that crashes its decoder, or never ends, costs the process that decodes it and is recorded as
such; the other processes continue. Results are kept: an interrupted call continues where it
stopped, and files that have not changed are not decoded again.
"""

import logging
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeAlias

from pks4_lightning.data.inspection.manifest import read_manifest, to_json, write_manifest
from pks4_lightning.data.inspection.probe import READER_VERSION, FileRecord, probe_file
from pks4_lightning.files import atomic_write
from pks4_lightning.locks import hold_lock
from pks4_lightning.progress import track
from pks4_lightning.ranges import check_at_least, check_positive

__all__ = ["index_files", "probe_all"]

logger = logging.getLogger(__name__)

Probe: TypeAlias = Callable[[Path, str], FileRecord]

_FILES_PER_PROCESS = 500
"""Files per process; it is then replaced, to release memory that decoders have leaked."""
_LOOK_AGAIN = frozenset({"crashed", "timeout", "missing"})


def index_files(
    root: Path,
    paths: Iterable[str],
    manifest: Path,
    *,
    num_workers: int = 4,
    timeout: float = 300.0,
    verify: bool = False,
    accept_changes: bool = False,
    probe: Probe = probe_file,
) -> list[FileRecord]:
    """Examine files, and write the manifest and the quarantine list.

    Args:
        root: Folder that the paths are relative to.
        paths: The files.
        manifest: File to write. Its records of unchanged files are kept, and those of other files
            that still exist.
        num_workers: Number of processes, at least 1.
        timeout: Seconds after which to give up on a file.
        verify: Examine all files again, even if size and time are unchanged.
        accept_changes: Treat a file that has changed since it was indexed as a new one. Otherwise
            it is quarantined.
        probe: Function that examines a file; it must be importable in a new process.

    Returns:
        The records of these files, in the order of their paths.

    Raises:
        ValueError: If ``num_workers`` or ``timeout`` is not positive, or there are no files.
        BlockingIOError: If another process is writing the manifest.
    """
    wanted = sorted(set(paths))
    if not wanted:
        raise ValueError(f"There are no videos below '{root}'; check data.root.")
    check_at_least(1, {"num_workers": num_workers})
    check_positive({"timeout": timeout})
    refusal = BlockingIOError(
        f"Another pks4 data index is writing '{manifest}'; wait for it or stop it."
    )
    with hold_lock(manifest.with_name(f".{manifest.name}.lock"), refusal):
        unfinished = manifest.with_name(f"{manifest.stem}.unfinished{manifest.suffix}")
        before = read_manifest(manifest) if manifest.is_file() else {}
        if unfinished.is_file():
            before |= read_manifest(unfinished, torn=True)
        unchanged = [path for path in wanted if not verify and _same(root, path, before)]
        done = {path: before[path] for path in unchanged}
        todo = [path for path in wanted if path not in done]
        if done:
            logger.info("%d of %d files have not changed since they were indexed.", len(done),
                        len(wanted))  # fmt: skip
        # a partial line left by a killed process must not swallow the next one
        kept = "".join(to_json(record) + "\n" for record in before.values())
        with atomic_write(unfinished) as temporary:
            temporary.write_text(kept, encoding="utf-8")
        with unfinished.open("a", encoding="utf-8") as file:
            found = probe_all(root, todo, num_workers=num_workers, timeout=timeout, probe=probe)
            for record in track(found, total=len(todo), doing="Indexing videos"):
                settled = record if accept_changes else _compared(record, before.get(record.path))
                done[record.path] = settled
                file.write(to_json(settled) + "\n")
                file.flush()
        others = {path: before[path] for path in before if (root / path).exists()}
        write_manifest(manifest, (others | done).values())
        unfinished.unlink()
    return [done[path] for path in wanted]


def probe_all(
    root: Path, paths: Sequence[str], *, num_workers: int, timeout: float, probe: Probe = probe_file
) -> Iterator[FileRecord]:
    """Examine files in separate processes; yield the records as they arrive.

    Args:
        root: Folder that the paths are relative to.
        paths: The files.
        num_workers: Number of processes.
        timeout: Seconds after which to give up on a file and kill its process.
        probe: Function that examines a file.

    Yields:
        One record per file, in order of completion.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pks4_lightning.data.inspection.probe"])
    waiting = list(reversed(paths))
    children: list[_Child] = []
    try:
        while waiting or children:
            while waiting and len(children) < num_workers:
                children.append(_Child(context, root, probe, waiting.pop()))
            soonest = min(child.started for child in children) + timeout - time.monotonic()
            ready = wait([child.pipe for child in children], timeout=max(0.0, soonest))
            for child in list(children):
                record = child.answer(readable=child.pipe in ready, timeout=timeout)
                if record is None:
                    continue
                yield record
                if waiting and child.is_fit():
                    child.begin(waiting.pop())
                else:
                    children.remove(child)
                    child.end()
    finally:
        for child in children:
            child.end()


class _Child:
    """A process that examines one file after the other."""

    def __init__(self, context: ForkServerContext, root: Path, probe: Probe, path: str) -> None:
        self.pipe: Connection
        self.pipe, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=_look_at_files, args=(root, probe, theirs), daemon=True
        )
        self._process.start()
        theirs.close()
        self._num_files = 0
        self._alive = True
        self.begin(path)

    def begin(self, path: str) -> None:
        self.path = path
        self.started = time.monotonic()
        self._num_files += 1
        try:
            self.pipe.send(path)
        except BrokenPipeError:
            self._alive = False  # reported by `answer`

    def answer(self, *, readable: bool, timeout: float) -> FileRecord | None:
        """Return the record of the current file, if there is one yet."""
        if readable:
            try:
                record: FileRecord = self.pipe.recv()
                return record
            except (EOFError, ConnectionResetError):
                self._alive = False
                self._process.join()
                return FileRecord(
                    path=self.path, status="crashed",
                    reason=f"its decoder ended with {_cause(self._process.exitcode)}",
                )  # fmt: skip
        if time.monotonic() - self.started < timeout:
            return None
        self._alive = False
        return FileRecord(
            path=self.path, status="timeout", reason=f"decoding took more than {timeout:g} seconds"
        )

    def is_fit(self) -> bool:
        return self._alive and self._num_files < _FILES_PER_PROCESS

    def end(self) -> None:
        self.pipe.close()
        self._process.kill()
        self._process.join()
        self._process.close()


def _look_at_files(root: Path, probe: Probe, pipe: Connection) -> None:
    """Answer paths with records until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops this process
    while True:
        try:
            path = pipe.recv()
        except EOFError:
            return
        pipe.send(probe(root, path))


def _cause(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return signal.Signals(-exitcode).name
    return f"exit status {exitcode}"


def _same(root: Path, path: str, before: Mapping[str, FileRecord]) -> bool:
    """Return whether a file has the size and time it had when this version examined it."""
    record = before.get(path)
    if record is None or record.status in _LOOK_AGAIN or record.reader < READER_VERSION:
        return False
    try:
        stat = (root / path).stat()
    except OSError:
        return False
    return stat.st_size == record.size and stat.st_mtime_ns == record.mtime_ns


def _compared(record: FileRecord, before: FileRecord | None) -> FileRecord:
    """Return the record of a file; mark it as changed if it was intact before and differs now."""
    if before is None or not before.sha256 or not record.sha256:
        return record
    if before.status not in ("ok", "hash_mismatch") or record.sha256 == before.sha256:
        return record
    now = "" if record.status == "ok" else f", and {record.reason}"
    return replace(
        before,
        status="hash_mismatch",
        reason=f"it has changed since it was indexed{now}",
    )
