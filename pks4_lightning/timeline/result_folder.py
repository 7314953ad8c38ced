"""A folder with results of many videos, each computed exactly once, over several runs if needed."""

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import Any, Self

from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.data.video.errors import VideoDecodeError
from pks4_lightning.files import atomic_write, cut_name, json_line, remove_leftovers
from pks4_lightning.locks import hold_folder
from pks4_lightning.progress import track
from pks4_lightning.training.scoring.failure_file import FailureFile
from pks4_lightning.training.scoring.made_by import check_made_by, write_made_by
from pks4_lightning.training.scoring.view_aggregation import Failure

__all__ = ["ResultFolder"]

logger = logging.getLogger(__name__)

_JOURNAL = "videos.jsonl"
_LONGEST_NAME = 230
"""Bytes of a name, to which a number and suffixes are added; file systems allow 255."""


class ResultFolder:
    """Records the names of videos and which of them are finished.

    ``videos.jsonl`` gets one line when a video is named, and one when it is finished. A video is
    known by the path it was first named with, whatever the current folder is when it is resumed;
    ``made_by.json`` records the settings; ``failed.csv`` lists the videos that could not be read.

    Args:
        folder: Created if necessary.
        made_by: Settings that determine the results, representable in JSON.
        resume: Continue with the existing results.
        what: Name of the results, in the plural.

    Raises:
        FileExistsError: If there are results and ``resume`` is not set.
        ValueError: If they were made with other settings, or a line of ``videos.jsonl`` is damaged.
    """

    @classmethod
    @contextmanager
    def locked(
        cls, folder: Path, *, made_by: Mapping[str, Any], resume: bool, what: str
    ) -> Iterator[Self]:
        """Yield the folder, to which no other process can then write.

        Args:
            folder: As for the class, like the others.
            made_by: Settings.
            resume: Continue.
            what: Name of the results.

        Raises:
            BlockingIOError: If another process is writing there.
            OSError: If nothing can be written there.
        """
        with hold_folder(folder, what=what):
            yield cls(folder, made_by=made_by, resume=resume, what=what)

    def __init__(
        self, folder: Path, *, made_by: Mapping[str, Any], resume: bool, what: str
    ) -> None:
        self.folder = folder
        self._journal = folder / _JOURNAL
        self._entries: dict[str, dict[str, Any]] = {}
        """Entries by path; the last line of a video counts."""
        self._spellings: dict[str, str] = {}
        """Paths as first named, by absolute path."""
        self._taken: set[str] = set()
        if self._journal.exists():
            if not resume:
                raise FileExistsError(
                    f"{folder} already contains {what}: add to them with --resume, or choose "
                    "another folder with --out."
                )
            check_made_by(folder / "made_by.json", made_by, what=what)
            self._read()
        write_made_by(folder / "made_by.json", made_by)
        remove_leftovers(folder)
        self._failed = FailureFile(folder / "failed.csv")
        if self.finished:
            logger.info("%d videos in %s are already finished.", len(self.finished), folder)

    @property
    def finished(self) -> dict[str, dict[str, Any]]:
        """Arguments of :meth:`finish` for every finished video, by path, ``name`` included."""
        return {path: entry for path, entry in self._entries.items() if entry["is_finished"]}

    def entry(self, path: str) -> dict[str, Any] | None:
        """Return the entry given to :meth:`finish` for a video; ``None`` unless it is finished.

        Args:
            path: Path of the video.
        """
        entry = self._entries.get(self.first_spelling(path))
        return entry if entry is not None and entry["is_finished"] else None

    def first_spelling(self, path: str) -> str:
        """Return the path with which a video was first named; the given one if it is new.

        Args:
            path: Path of the video.
        """
        if path in self._entries:
            return path
        return self._spellings.get(_absolute(path), path)

    def name_of(self, path: str) -> str:
        """Return the name of a video's files: its own, or another if that is taken or too long.

        Args:
            path: Path of the video.
        """
        path = self.first_spelling(path)
        if path not in self._entries:
            stem = cut_name(Path(path).stem, _LONGEST_NAME)
            longer = cut_name(f"{Path(path).absolute().parent.name}_{stem}", _LONGEST_NAME)
            numbered = (f"{stem}_{number}" for number in count(2))
            candidates = chain([stem, longer], numbered)
            name = next(each for each in candidates if each not in self._taken)
            self._note(path, {"name": name, "is_finished": False})
        return str(self._entries[path]["name"])

    def finish(self, path: str, entry: Mapping[str, Any]) -> None:
        """Record that a video is finished.

        Args:
            path: Path of the video.
            entry: Information about its results, representable in JSON.
        """
        name = self.name_of(path)
        self._note(self.first_spelling(path), {"name": name, "is_finished": True, **entry})

    def fail(self, path: str, reason: str) -> None:
        """Record that a video cannot be read. The next run tries it again.

        Args:
            path: Path of the video.
            reason: A sentence, or ``missing``.
        """
        if reason == "missing":
            self._failed.append_missing([path])
        else:
            self._failed.append([Failure(path, reason)])

    def work_through(self, videos: VideoList, make: Callable[..., object]) -> None:
        """Compute the results of all unfinished videos, and show progress.

        Args:
            videos: The videos; missing ones are recorded as failed.
            make: Computes the results of a path; ``show`` requests progress within one video.

        Raises:
            ValueError: If there is a single video and the settings do not suit it, such as a
                window that is shorter than one of its frames.
        """
        for path in videos.missing:
            self.fail(path, "missing")
        paths = [videos.path(number) for number in range(len(videos))]
        waiting = [path for path in paths if self.entry(path) is None]
        alone = len(paths) == 1
        for path in waiting if alone else track(waiting, total=len(waiting), doing="Videos"):
            try:
                make(path, show=alone)
            except ValueError as error:
                if alone and not isinstance(error, VideoDecodeError):
                    raise
                self.fail(path, str(error))

    def check(self) -> None:
        """Log how many videos failed.

        Raises:
            ValueError: If no video is finished.
        """
        self._failed.log_total()
        if not self.finished:
            raise ValueError(f"No video could be read; {self._failed.path} gives the reasons.")

    def _note(self, path: str, entry: dict[str, Any]) -> None:
        absolute = _absolute(path)
        also = {} if absolute == path else {"absolute": absolute}
        with self._journal.open("a", encoding="utf-8") as file:
            file.write(json_line({"video": path, **also, **entry}) + "\n")
        self._remember(path, absolute, entry)

    def _remember(self, path: str, absolute: str, entry: dict[str, Any]) -> None:
        self._entries[path] = entry
        self._spellings[absolute] = path
        self._taken.add(entry["name"])

    def _read(self) -> None:
        """Read the journal, ignoring a line left incomplete by a kill."""
        *whole, torn = self._journal.read_text(encoding="utf-8", errors="replace").split("\n")
        for number, line in enumerate(whole, start=1):
            try:
                entry = json.loads(line)
                path, _, _ = entry.pop("video"), entry["name"], entry["is_finished"]
                absolute = entry.pop("absolute", None) or _absolute(path)
            except (AttributeError, KeyError, TypeError, ValueError):
                raise ValueError(
                    f"{self._journal}, line {number}, is damaged: {line[:60]!r}. Delete this line "
                    "to continue; its video is computed again."
                ) from None
            self._remember(path, absolute, entry)
        if torn:
            with atomic_write(self._journal) as path:
                path.write_text("".join(f"{line}\n" for line in whole), encoding="utf-8")


def _absolute(path: str) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - links stay as they are
