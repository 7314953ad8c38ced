"""A folder with results of many videos: each made exactly once, in as many runs as it takes."""

import json
import logging
from collections.abc import Callable, Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any

from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.data.video.errors import VideoDecodeError
from pks4_lightning.files import atomic_write, check_writable, remove_leftovers
from pks4_lightning.progress import track
from pks4_lightning.training.scoring.failure_file import FailureFile
from pks4_lightning.training.scoring.made_by import check_made_by, write_made_by
from pks4_lightning.training.scoring.view_aggregation import Failure

__all__ = ["ResultFolder"]

logger = logging.getLogger(__name__)

_JOURNAL = "videos.jsonl"


class ResultFolder:
    """Remembers which videos have which names, and which of them are finished.

    ``videos.jsonl`` gets a line when a video is given its name, and one when it is finished;
    ``made_by.json`` says what decides the results; ``failed.csv`` lists what could not be read.

    Args:
        folder: Made if need be.
        made_by: What decides the results, as JSON can hold it.
        resume: Go on with what the folder holds.
        what: The results are, in the plural.

    Raises:
        FileExistsError: If the folder holds results and they are not to be continued.
        ValueError: If they were made by something else.
        OSError: If nothing can be written there.
    """

    def __init__(
        self, folder: Path, *, made_by: Mapping[str, Any], resume: bool, what: str
    ) -> None:
        self.folder = folder
        self._journal = folder / _JOURNAL
        self._entries: dict[str, dict[str, Any]] = {}
        """By path; the last line about a video counts."""
        self._taken: set[str] = set()
        if self._journal.exists():
            if not resume:
                raise FileExistsError(
                    f"{folder} already contains {what}: add to them with --resume, or choose "
                    "another folder with --out."
                )
            check_made_by(folder / "made_by.json", made_by, what=what)
            self._read()
        check_writable(folder, what=what, option="--out")
        write_made_by(folder / "made_by.json", made_by)
        remove_leftovers(folder)
        self._failed = FailureFile(folder / "failed.csv")
        if self.finished:
            logger.info("%d videos in %s are already finished.", len(self.finished), folder)

    @property
    def finished(self) -> dict[str, dict[str, Any]]:
        """What :meth:`finish` was told of every video, by its path, ``name`` included."""
        return {path: entry for path, entry in self._entries.items() if entry["is_finished"]}

    def entry(self, path: str) -> dict[str, Any] | None:
        """Return what :meth:`finish` was told of a video, ``None`` unless it is finished.

        Args:
            path: The video's.
        """
        entry = self._entries.get(path)
        return entry if entry is not None and entry["is_finished"] else None

    def name_of(self, path: str) -> str:
        """Return what a video's files are called: as itself, or longer where that is taken.

        Args:
            path: The video's.
        """
        if path not in self._entries:
            stem, parent = Path(path).stem, Path(path).absolute().parent.name
            numbered = (f"{stem}_{number}" for number in count(2))
            candidates = chain([stem, f"{parent}_{stem}"], numbered)
            name = next(each for each in candidates if each not in self._taken)
            self._note(path, {"name": name, "is_finished": False})
        return str(self._entries[path]["name"])

    def finish(self, path: str, entry: Mapping[str, Any]) -> None:
        """Take down that a video is finished.

        Args:
            path: The video's.
            entry: What there is to know about its results, as JSON can hold it.
        """
        self._note(path, {"name": self.name_of(path), "is_finished": True, **entry})

    def fail(self, path: str, reason: str) -> None:
        """Take down that a video cannot be read. The next run tries it again.

        Args:
            path: The video's.
            reason: A sentence, or ``missing``.
        """
        if reason == "missing":
            self._failed.append_missing([path])
        else:
            self._failed.append([Failure(path, reason)])

    def work_through(self, videos: VideoList, make: Callable[..., object]) -> None:
        """Make the results of all videos that are not finished, and show how far it is.

        Args:
            videos: What is missing of them fails.
            make: Makes the results of a path; ``show`` asks for progress within a single video.

        Raises:
            ValueError: If there is a single video and it asks for something else than it got, such
                as a window that is shorter than one of its frames.
        """
        for path in videos.missing:
            self.fail(path, "missing")
        paths = [videos.path(number) for number in range(len(videos))]
        finished = self.finished
        waiting = [path for path in paths if path not in finished]
        alone = len(paths) == 1
        for path in waiting if alone else track(waiting, total=len(waiting), doing="Videos"):
            try:
                make(path, show=alone)
            except ValueError as error:
                if alone and not isinstance(error, VideoDecodeError):
                    raise
                self.fail(path, str(error))

    def check(self) -> None:
        """Say how many videos failed.

        Raises:
            ValueError: If nothing at all is finished.
        """
        self._failed.log_total()
        if not self.finished:
            raise ValueError(f"No video could be read; {self._failed.path} gives the reasons.")

    def _note(self, path: str, entry: dict[str, Any]) -> None:
        with self._journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"video": path, **entry}, ensure_ascii=False) + "\n")
        self._entries[path] = entry
        self._taken.add(entry["name"])

    def _read(self) -> None:
        """Read the journal, without what a kill has torn."""
        lines = self._journal.read_text(encoding="utf-8", errors="replace").splitlines(True)
        whole = [line for line in lines if line.endswith("\n")]
        for line in whole:
            entry = json.loads(line)
            self._entries[entry.pop("video")] = entry
            self._taken.add(entry["name"])
        if len(whole) < len(lines):
            with atomic_write(self._journal) as path:
                path.write_text("".join(whole), encoding="utf-8")
