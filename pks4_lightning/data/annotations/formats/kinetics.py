"""Kinetics-400, 600 and 700: CSV files ``label,youtube_id,time_start,time_end,split``."""

import logging
from collections import Counter
from collections.abc import Sequence

from pks4_lightning.data.annotations.entry import Entry, relative_path
from pks4_lightning.data.annotations.formats.tables import (
    column_names,
    read_table,
    rows_of_split,
    split_column,
)
from pks4_lightning.data.annotations.formats.timed.intervals import check_span, seconds
from pks4_lightning.data.annotations.locating import by_file_name
from pks4_lightning.data.annotations.record import DataFormat, Part, Published, Sniffed
from pks4_lightning.data.video.span import Span

__all__ = ["KINETICS"]

logger = logging.getLogger(__name__)

_COLUMNS = ("youtube_id", "time_start", "time_end")  # test splits may have no labels


def read_kinetics(part: Part) -> list[Entry]:
    """Read the table; if it contains several splits, only rows of the requested one are kept.

    Args:
        part: The CSV file.

    Returns:
        One entry per clip and label. Repeated rows count once; a clip with two labels gives two
        entries, as in the scoring with that list.

    Raises:
        ValueError: If a column is missing, a time is not a number, or a clip ends before its start.
    """
    source = part.source
    columns, rows = read_table(source)
    absent = [name for name in _COLUMNS if name not in columns]
    if absent:
        raise ValueError(f"'{source}' has no column '{absent[0]}'; Kinetics' CSV files have the "
                         "columns label,youtube_id,time_start,time_end,split.")  # fmt: skip
    entries: dict[tuple[str, str | None], Entry] = {}
    split, chosen = rows_of_split(rows, split_column(columns), part.split, source)
    for number, row in chosen:
        place = f"line {number}"
        start, end = (seconds(row[name], source, place) for name in ("time_start", "time_end"))
        check_span(Span(start, end), source, place)
        name = f"{row['youtube_id']}_{int(start):06d}_{int(end):06d}"
        video = relative_path(name, source, place)
        label = row.get("label") or None
        entries.setdefault((video, label), Entry(video, label, place, split=split))
    twice = Counter(video for video, _ in entries) - Counter({video for video, _ in entries})
    if twice:
        logger.warning(
            "'%s' gives %d clips more than one label, such as '%s'; such a clip counts once per "
            "label.",
            source, len(twice), next(iter(twice)),
        )  # fmt: skip
    return list(entries.values())


def is_kinetics(sniffed: Sniffed) -> bool:
    """Return whether a table has the columns of Kinetics."""
    return {*_COLUMNS} <= {*column_names(sniffed.first_line)}


def _file_names(entries: Sequence[Entry]) -> list[list[str]]:
    """Return ``ID_000012_000022``, ``ID_12_22`` and ``ID``, the file names used by copies."""
    # a file named only by the YouTube id is this clip if no other clip has the same id
    clips_of = Counter(entry.video.rsplit("_", 2)[0] for entry in entries)
    names = []
    for entry in entries:
        video, start, end = entry.video.rsplit("_", 2)
        alone = [video] if clips_of[video] == 1 else []
        names.append([entry.video, f"{video}_{int(start)}_{int(end)}", *alone])
    return names


_USUAL = [f"kinetics{dash}{number}" for number in (400, 600, 700) for dash in ("-", "")]

KINETICS = DataFormat(
    name="kinetics",
    read=read_kinetics,
    recognises=is_kinetics,
    splits={
        "train": (
            "train.csv",
            "train.txt",
            *(f"{name}_train.csv" for name in _USUAL),
            "kinetics_train.csv",
        ),
        "val": (
            "validate.csv",
            "val.csv",
            "validation.csv",
            "val.txt",
            *(f"{name}_val.csv" for name in _USUAL),
            "kinetics_val.csv",
        ),
    },
    repeats=True,
    locate=by_file_name(_file_names),
    published=(
        Published("Kinetics-400", 400, {"train": 246_535, "val": 19_907}, exact=False),
        Published("Kinetics-600", 600, {"train": 392_622, "val": 30_000}, exact=False),
        Published("Kinetics-700", 700, {"train": 545_317, "val": 35_000}, exact=False),
    ),
)
