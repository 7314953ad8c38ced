"""The manifest of a data set: one JSON object per line and file.

``pks4 data index`` writes ``manifest.jsonl`` and, for files that must not be used,
``quarantine.jsonl`` into the folder ``.pks4`` of the data set. Training and testing use them if
they exist.
"""

import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from pks4_lightning.data.inspection.probe import FileRecord
from pks4_lightning.files import atomic_write, json_line, sha256_of
from pks4_lightning.suggestions import did_you_mean_path

__all__ = [
    "KnownFiles",
    "default_manifest",
    "quarantine_path",
    "read_manifest",
    "relative_path",
    "to_json",
    "write_manifest",
]

logger = logging.getLogger(__name__)

_FIELDS = {field.name for field in fields(FileRecord)}


def default_manifest(root: str | Path) -> Path:
    """Return the default path of a data set's manifest."""
    return Path(root).expanduser() / ".pks4" / "manifest.jsonl"


def quarantine_path(manifest: Path) -> Path:
    """Return the path of the quarantine list, beside the manifest."""
    name = manifest.name.replace("manifest", "quarantine")
    return manifest.with_name(name if name != manifest.name else f"quarantine-{name}")


def relative_path(path: str, root: str | Path) -> str:
    """Return a path as written in a manifest: relative to the root, with forward slashes."""
    return Path(os.path.relpath(path, Path(root).expanduser())).as_posix()


def read_manifest(manifest: Path, *, torn: bool = False) -> dict[str, FileRecord]:
    """Read a manifest.

    Args:
        manifest: The file.
        torn: Allow an incomplete last line, left by a killed writer.

    Returns:
        The records by path; if there are several for a path, the last one.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is not a record.
    """
    if not manifest.is_file():
        raise FileNotFoundError(
            f"There is no manifest '{manifest}'"
            + did_you_mean_path(manifest, "write it with pks4 data index")
        )
    records = {}
    *lines, rest = manifest.read_text(encoding="utf-8", errors="replace").split("\n")
    if rest and not torn:
        lines.append(rest)
    for number, line in enumerate(lines, start=1):
        try:
            record = _from_json(line)
        except (ValueError, TypeError, RecursionError):
            raise ValueError(
                f"Line {number} of '{manifest}' is not the record of a file; delete the manifest "
                "and run pks4 data index again."
            ) from None
        records[record.path] = record
    return records


def write_manifest(manifest: Path, records: Iterable[FileRecord]) -> None:
    """Write a manifest and the quarantine list beside it, atomically.

    Args:
        manifest: The file.
        records: The records, in any order.
    """
    ordered = sorted(records, key=lambda record: record.path)
    for target, chosen in (
        (quarantine_path(manifest), [record for record in ordered if record.status != "ok"]),
        (manifest, ordered),
    ):
        with atomic_write(target) as path, path.open("w", encoding="utf-8") as file:
            file.writelines(to_json(record) + "\n" for record in chosen)


def to_json(record: FileRecord) -> str:
    """Return a record as a line of a manifest, without the newline."""
    return json_line(asdict(record))


def _from_json(line: str) -> FileRecord:
    content = json.loads(line)
    if not isinstance(content, dict) or not isinstance(content.get("path"), str):
        raise ValueError(line)
    known = {key: value for key, value in content.items() if key in _FIELDS}
    known["keyframes"] = tuple(known.get("keyframes", ()))
    return FileRecord(**known)


class KnownFiles:
    """What the manifest records about one split, small enough to pass to every worker.

    Args:
        records: The manifest.
        paths: The videos of the split, as written in the manifest, in the order of ``video_index``.
    """

    def __init__(self, records: Mapping[str, FileRecord], paths: Iterable[str]) -> None:
        chosen = [records.get(path) for path in paths]
        known = [record or FileRecord(path="", size=-1) for record in chosen]
        self._size = np.array([record.size for record in known], dtype=np.int64)
        self._mtime = np.array([record.mtime_ns for record in known], dtype=np.int64)
        self._num_frames = np.array([record.num_frames for record in known], dtype=np.int32)
        self._sha256 = b"".join(bytes.fromhex(record.sha256).ljust(32, b"\0") for record in known)
        self._bad = {
            index: f"{record.reason} ({record.status}, by the manifest)"
            for index, record in enumerate(known)
            if record.status != "ok"
        }
        self.num_unknown = sum(record is None for record in chosen)
        """Number of videos that are not in the manifest."""

    @property
    def quarantined(self) -> dict[int, str]:
        """Reasons why videos must not be used, by video index."""
        return self._bad

    def num_frames(self, index: int) -> int | None:
        """Return how many frames of a video can be decoded, if known."""
        return int(self._num_frames[index]) or None

    def objection(self, index: int, path: str) -> str | None:
        """Return why a video must not be used, if there is a reason.

        A file of another size has changed. A file of the same size with another time stamp, as
        copies have, is hashed.

        Args:
            index: Index of the video.
            path: The path of its file.

        Returns:
            The reason; ``None`` if there is none, or nothing is known.
        """
        if index in self._bad:
            return self._bad[index]
        if self._size[index] < 0:
            return None
        try:
            stat = Path(path).stat()
            if stat.st_size == self._size[index] and stat.st_mtime_ns == self._mtime[index]:
                return None
            if stat.st_size == self._size[index]:
                expected = self._sha256[32 * index : 32 * index + 32]
                if bytes.fromhex(sha256_of(Path(path))) == expected:
                    return None
        except OSError as error:
            return (error.strerror or str(error)).lower()
        return "it has changed since it was indexed (hash_mismatch)"
