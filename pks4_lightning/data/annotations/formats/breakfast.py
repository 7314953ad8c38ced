"""Breakfast: a folder of ``P03/cam01/P03_cereals.avi``, split by person."""

import logging
import re

from pks4_lightning.data.annotations.entry import Entry
from pks4_lightning.data.annotations.locating import in_source
from pks4_lightning.data.annotations.record import DataFormat, Part, Sniffed
from pks4_lightning.data.annotations.walking import find_videos

__all__ = ["BREAKFAST"]

logger = logging.getLogger(__name__)

FOLDS = {1: range(3, 16), 2: range(16, 29), 3: range(29, 42), 4: range(42, 55)}
"""Test persons of splits s1 to s4 in Kuehne, Arslan and Serre, CVPR 2014; the others train."""

_VIDEO = re.compile(r"P(\d\d)_([a-z]+)(?:_ch([01]))?\.\w+")
_FOLDERS = ("BreakfastII_15fps_qvga_sync", "videos", "")


def read_breakfast(part: Part) -> list[Entry]:
    """Read the folders; the file name gives the activity, and the person determines the split.

    Some recordings of the stereo camera have two channels; only the first existing one is used.

    Args:
        part: The folder of ``P03`` to ``P54``; persons of the fold are used to test and validate.

    Raises:
        ValueError: If there is no such fold.
    """
    source, split, fold = part
    if fold not in FOLDS:
        raise ValueError(f"data.fold is {fold}; Breakfast's splits are 1 to 4.")
    entries: dict[tuple[str, str], Entry] = {}
    others = []
    for video in find_videos(source):
        folder, _, name = video.rpartition("/")
        match = _VIDEO.fullmatch(name)
        if match is None:
            others.append(video)
            continue
        tested = int(match[1]) in FOLDS[fold]
        if tested == (split != "train"):
            recording = (folder, f"{match[1]}_{match[2]}")
            entries.setdefault(recording, Entry(video, match[2], f"'{video}'"))
    if others:
        logger.warning(
            "%d videos in '%s' are not named like Breakfast videos, such as '%s'; they are "
            "skipped.",
            len(others), source, others[0],
        )  # fmt: skip
    return list(entries.values())


def is_breakfast(sniffed: Sniffed) -> bool:
    """Return whether a folder has the layout of the archive."""
    if not sniffed.path.is_dir():
        return False
    persons = sorted(path for path in sniffed.path.iterdir() if re.fullmatch(r"P\d\d", path.name))
    return any(_VIDEO.fullmatch(path.name) for person in persons[:1] for path in person.glob("*/*"))


BREAKFAST = DataFormat(
    name="breakfast",
    read=read_breakfast,
    recognises=is_breakfast,
    splits={"train": _FOLDERS, "test": _FOLDERS},
    labels_are_names=True,
    folders=("",),
    is_folder=True,
    locate=in_source,
)
