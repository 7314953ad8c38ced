"""HMDB-51: a folder of ``CLASS_test_split1.txt``, with lines of ``video.avi 1``."""

import re

from pks4_lightning.batch import Split
from pks4_lightning.data.annotations.entry import Entry, read_lines, relative_path
from pks4_lightning.data.annotations.paths import shortened
from pks4_lightning.data.annotations.record import DataFormat, Part, Published, Sniffed

__all__ = ["HMDB51"]

# second value of a line; 0 marks a video that this split does not use
_CODES: dict[Split, str] = {"train": "1", "val": "2", "test": "2"}
_FOLDERS = (
    "testTrainMulti_7030_splits",
    "test_train_splits",
    "splits",
    "metafile",
    "annotations",
    "",
)


def read_hmdb51(part: Part) -> list[Entry]:
    """Read the split files.

    Args:
        part: The folder, and which of the three splits to read.

    Raises:
        ValueError: If the files of that split are missing, or a line has another form.
    """
    source = part.source
    ending = f"_test_split{part.fold}.txt"
    files = sorted(path for path in source.iterdir() if path.name.endswith(ending))
    if not files:
        raise ValueError(
            f"'{source}' contains no files 'CLASS{ending}'; data.fold must be 1, 2 or 3."
        )
    entries = []
    for file in files:
        label = file.name.removesuffix(ending)
        for number, line in read_lines(file):
            name, code = [*line.rsplit(maxsplit=1), ""][:2]
            place = f"line {number} of '{file.name}'"
            if code not in ("0", "1", "2"):
                raise ValueError(
                    f"'{source}' reads '{shortened(line)}' at {place}; HMDB-51's "
                    "files have lines such as 'video.avi 1', with 0, 1 or 2."
                )
            if code == _CODES[part.split]:
                video = relative_path(f"{label}/{name}", source, place)
                entries.append(Entry(video, label, place))
    return entries


def is_hmdb51(sniffed: Sniffed) -> bool:
    """Return whether a folder contains split files."""
    path = sniffed.path
    return path.is_dir() and any(
        re.search(r"_test_split\d\.txt$", file.name) for file in path.iterdir()
    )


HMDB51 = DataFormat(
    name="hmdb51",
    read=read_hmdb51,
    recognises=is_hmdb51,
    splits={"train": _FOLDERS, "test": _FOLDERS},
    labels_are_names=True,
    folders=("",),
    is_folder=True,
    videos=("hmdb51_org", "HMDB51", "videos", ""),
    published=(Published("HMDB-51", 51, {"train": 3_570, "val": 1_530}),),
)
