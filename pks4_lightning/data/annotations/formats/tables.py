"""Any table whose header names a path column and a label column."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from pks4_lightning.batch import Split
from pks4_lightning.data.annotations.entry import (
    Entry,
    log_comments,
    read_text,
    split_of,
)
from pks4_lightning.data.annotations.locating import as_written
from pks4_lightning.data.annotations.paths import shortened
from pks4_lightning.data.annotations.record import DataFormat, Part, Sniffed

__all__ = [
    "CSV",
    "column_names",
    "delimiter_of",
    "path_and_label_columns",
    "read_rows",
    "read_table",
    "rows_of_split",
    "split_column",
]

# in order of preference
_PATH_COLUMNS = (
    "path", "video_path", "file_path", "filepath", "file", "file_name", "filename", "video",
    "video_name", "vid_name", "clip", "clip_name", "clip_path", "video_id", "id",
)  # fmt: skip
_LABEL_COLUMNS = (
    "label", "label_name", "class", "class_name", "category", "action", "activity", "target",
    "label_id", "class_id",
)  # fmt: skip
_SPLIT_COLUMNS = ("split", "subset", "partition", "set")
# these contain validation and test splits only if a column names the split
_TABLES_OF_ALL_SPLITS = ("metadata.csv", "annotations.csv")
_SERVED_BY: dict[Split, tuple[Split, ...]] = {
    "train": ("train",),
    "val": ("val", "test"),
    "test": ("test", "val"),
}

_Row: TypeAlias = tuple[int, dict[str, str]]
"""Line number, and values by lower-case column name."""


def read_csv(part: Part) -> list[Entry]:
    """Read the rows of a split.

    Args:
        part: The file; values are separated by commas, semicolons or tabs. If a column `split`,
            `subset`, `partition` or `set` names splits, only the rows of the requested split are
            read.

    Raises:
        ValueError: If these columns are missing, a path is empty, or the split is not named.
    """
    source = part.source
    columns, rows = read_table(source)
    path_column, label_column = path_and_label_columns(columns)
    if not path_column or not label_column:
        raise ValueError(
            f"'{source}' has the columns {', '.join(columns)}; it needs one for the path (such as "
            "path, file_name or video) and one for the label (such as label or class)."
        )
    entries = []
    split, chosen = rows_of_split(rows, split_column(columns), part.split, source)
    for number, row in chosen:
        if not row[path_column]:
            raise ValueError(f"'{source}' names no video at line {number}.")
        label = row[label_column] or None
        entries.append(Entry(row[path_column], label, f"line {number}", split=split))
    return entries


def read_table(source: Path) -> tuple[list[str], list[_Row]]:
    """Read a table with a header.

    Args:
        source: Values are separated by commas, semicolons or tabs. Lines that begin with ``#`` are
            comments.

    Returns:
        The columns, and the rows with the number of their first line; all values are stripped.

    Raises:
        ValueError: If a column with a name appears twice, or a row has more or fewer values than
            columns.
    """
    columns, lines = read_rows(source)
    twice = [name for name, count in Counter(columns).items() if count > 1 and name]
    if twice:
        raise ValueError(f"'{source}' has two columns '{twice[0]}'.")
    rows = []
    for number, values in lines:
        if len(values) != len(columns):
            raise ValueError(f"'{source}' has {len(values)} values at line {number} and "
                             f"{len(columns)} columns.")  # fmt: skip
        stripped = (value.strip() for value in values)
        rows.append((number, dict(zip(columns, stripped, strict=True))))
    return columns, rows


def read_rows(source: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Read a table whose rows may have more or fewer values than it has columns.

    Args:
        source: As in :func:`read_table`.

    Returns:
        The columns, and the values of every row with the number of its first line.

    Raises:
        ValueError: If a quotation mark is never closed, or a value is too long.
    """
    columns: list[str] | None = None
    delimiter, num_comments = ",", 0
    rows = []
    lines = enumerate(io.StringIO(read_text(source)), start=1)
    for number, line in lines:
        if line.startswith("#"):
            num_comments += columns is not None
        elif not line.strip():
            continue
        elif columns is None:
            columns, delimiter = column_names(line), delimiter_of(line)
        else:
            try:
                values = next(csv.reader(chain([line], _below(lines)), delimiter=delimiter))
            except csv.Error as error:
                raise ValueError(
                    f"'{source}' cannot be read from line {number} on: {error}; check its "
                    "quotation marks."
                ) from None
            if any(value.strip() for value in values):
                rows.append((number, values))
    log_comments(source, num_comments)
    return columns or [], rows


def _below(lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    """Yield the lines into which a quoted value goes on."""
    yield from (line for _, line in lines)
    raise csv.Error("a value in quotation marks does not end")


def rows_of_split(
    rows: Sequence[_Row], column: str | None, split: Split, source: Path
) -> tuple[Split | None, Sequence[_Row]]:
    """Keep the rows of a split, if a column of the table names splits.

    A missing test split is replaced by the validation split, and vice versa.

    Args:
        rows: The table.
        column: The column that names the splits; ``None`` if the table has none.
        split: The requested split.
        source: The file, for messages.

    Returns:
        The split that the rows belong to according to that column, ``None`` if it names none; and
        the rows.

    Raises:
        ValueError: If the column names neither the requested split nor one in its place, or
            contains anything but names of splits.
    """
    named = _named_splits(rows, column, source)
    if not named:
        return None, rows
    found = next((name for name in _SERVED_BY[split] if name in named), None)
    if found is None:
        held_out = ", or hold out some of the videos with `pks4 data split`"
        raise ValueError(
            f"'{source}' names no {split} split in its column '{column}', only "
            f"{' and '.join(named)}; set data.{split} to other annotations"
            f"{held_out if split != 'train' else ''}."
        )
    return found, named[found]


def _named_splits(
    rows: Sequence[_Row], column: str | None, source: Path
) -> dict[Split, list[_Row]]:
    """Return the rows of every split; none if no row has a value in the column."""
    named: dict[Split, list[_Row]] = {}
    if column is None or not any(row[column] for _, row in rows):
        return named
    for number, row in rows:
        split = split_of(row[column])
        if split is None:
            raise ValueError(
                f"'{source}' gives the split '{shortened(row[column])}' at line {number}; splits "
                f"are train, val and test, so change it, or rename the column '{column}' if it "
                "names none."
            )
        named.setdefault(split, []).append((number, row))
    return named


def path_and_label_columns(columns: Sequence[str]) -> tuple[str, str]:
    """Return the names of the columns with paths and labels, empty if there is none.

    Args:
        columns: Names of all columns, in lower case.
    """
    path = next((name for name in _PATH_COLUMNS if name in columns), "")
    label = next((name for name in _LABEL_COLUMNS if name in columns), "")
    return path, label


def _serves(source: Path, split: Split) -> bool:
    """Return whether a table contains a split: some contain all, if a column names the split."""
    if source.name not in _TABLES_OF_ALL_SPLITS:
        return True
    column = split_column(column_names(Sniffed(source).first_line))
    named = {} if column is None else _named_splits(read_table(source)[1], column, source)
    return not named.keys().isdisjoint(_SERVED_BY[split]) if named else split == "train"


def split_column(columns: Sequence[str]) -> str | None:
    """Return the name of the column that names splits, ``None`` if there is none.

    Args:
        columns: Names of all columns, in lower case.
    """
    return next((name for name in _SPLIT_COLUMNS if name in columns), None)


def column_names(header: str) -> list[str]:
    """Return the column names of a header, in lower case; none if it cannot be one.

    Args:
        header: The first line of a table.
    """
    try:
        fields = next(csv.reader([header], delimiter=delimiter_of(header)), [])
    except csv.Error:  # one value of many thousand characters
        return []
    return [field.strip().casefold() for field in fields]


def delimiter_of(header: str) -> str:
    """Return the sign that separates the values of a table: a comma, a semicolon or a tab.

    Args:
        header: The first line of the table.
    """
    return max(",;\t", key=header.count)


CSV = DataFormat(
    name="csv",
    read=read_csv,
    recognises=lambda sniffed: all(path_and_label_columns(column_names(sniffed.first_line))),
    splits={
        "train": ("train.csv", *_TABLES_OF_ALL_SPLITS),
        "val": ("val.csv", "validation.csv", *_TABLES_OF_ALL_SPLITS),
        "test": ("test.csv", *_TABLES_OF_ALL_SPLITS),
    },
    serves=_serves,
    labels=("labels.txt", "classes.txt", "labels.csv"),
    videos=("", "videos"),
    locate=as_written,
    is_anybodys=True,
)
