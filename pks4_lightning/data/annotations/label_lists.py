"""Read lists of class names as they come with data sets."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pks4_lightning.data.annotations.entry import listed_lines, read_json, unquoted
from pks4_lightning.data.annotations.formats.tables import column_names, delimiter_of, read_rows
from pks4_lightning.data.annotations.labels import plain_template, positions
from pks4_lightning.data.annotations.paths import shortened
from pks4_lightning.data.annotations.record import Sniffed

__all__ = ["read_label_names"]

# in order of preference
_NAME_COLUMNS = ("name", "label_name", "class_name", "label", "class", "category", "action")
_INDEX_COLUMNS = (
    "id", "index", "label_id", "class_id", "label_index", "class_index", "number", "label", "class",
    "",  # as pandas writes its index
)  # fmt: skip
_WORDS_FOR_NAMES = {"name", "label", "class", "category", "action"}
_HEADER_WORDS = {"id", "index", "number", *_WORDS_FOR_NAMES}

_INDEX = re.compile(r"\d{1,9}")

# of a line; with the groups of the index and of the name
_SEPARATED = (
    (r"(\d{1,9})\s*(?:[-=]>|[,;\t:=)])\s*(.+)", 1, 2),
    (r"(\d{1,9})(?:\.|\s+-)\s+(\S.*)", 1, 2),
    (r"(.+?)\s*[,;\t]\s*(\d{1,9})", 2, 1),
)
_SPACED = (r"(\d{1,9})\s+(\S.*)", 1, 2)
# also of names that end in numbers
_LAST = r"(.+?)(?:\s*[:=]\s*|\s+)(\d{1,9})"
_NUMBERS_IN_NAMES = "a name that begins or ends with a number must be in quotation marks"


def read_label_names(source: Path, *, first_index: int = 0) -> list[str]:
    """Read the names of all classes, in the order of their indices.

    Args:
        source: JSON that maps names to indices (Something-Something) or lists names, as strings or
            as lists of attributes (Diving-48); a table with columns such as ``id`` and ``name``;
            or a text file with one name per line, preceded or followed by an index and a comma,
            semicolon or tab, or preceded by an index and a space (UCF-101). In text, lines that
            begin with ``#`` are comments.
        first_index: The first index in the file: 1 in UCF-101's ``classInd.txt``.

    Raises:
        ValueError: If indices have gaps, a name or index appears twice, or the first line may be a
            header as well as a name.
    """
    is_json = source.suffix.lower() == ".json"
    names = (_of_json if is_json else _of_text)(source, first_index)
    if not names:
        raise ValueError(f"'{source}' contains no labels.")
    positions(names, source)
    return names


def _of_json(source: Path, first_index: int) -> list[str]:
    content = read_json(source)
    if isinstance(content, dict):
        numbered = ((str(index), name) for name, index in content.items())
        return _in_order(numbered, source, first_index)
    if not isinstance(content, list):
        raise ValueError(f"'{source}' must map label names to indices, or list the names.")
    return [_name_of(name, index, source) for index, name in enumerate(content)]


def _name_of(listed: Any, index: int, source: Path) -> str:
    """Return a name of a JSON list: a text or a number, or a list of them (Diving-48)."""
    parts = listed if isinstance(listed, list) else [listed]
    if not parts or any(
        isinstance(part, bool) or not isinstance(part, str | int | float) for part in parts
    ):
        raise ValueError(
            f"'{source}' gives class {index} the name {shortened(repr(listed))}; names must be "
            "text."
        )
    return plain_template(" ".join(map(str, parts)))


def _of_text(source: Path, first_index: int) -> list[str]:
    header = Sniffed(source).first_line
    columns = column_names(header)
    name = next((word for word in _NAME_COLUMNS if word in columns), None)
    index = next((word for word in _INDEX_COLUMNS if word in columns and word != name), None)
    if name is not None and index is not None:
        return _in_order(_of_table(source, index, name), source, first_index)
    words = {*re.split(r"[\W_]+", header.casefold())} - {""}
    if words & _WORDS_FOR_NAMES and words <= _HEADER_WORDS:
        raise ValueError(
            f"'{source}' begins with '{shortened(header)}', which may be a header or a class: "
            "remove that line, or write an index before every name, as in '0,NAME'."
        )
    lines = [line for _, line in listed_lines(source)]
    for pattern, index_group, name_group in (*_SEPARATED, _SPACED):
        matches = [match for line in lines if (match := re.fullmatch(pattern, line))]
        if lines and len(matches) == len(lines):
            numbered = ((match[index_group], unquoted(match[name_group])) for match in matches)
            return _in_order(numbered, source, first_index)
    _refuse_one_without_index(lines, source, first_index)
    if counted := _indices_last(lines):
        return _in_order(counted, source, first_index)
    return [plain_template(unquoted(line)) for line in lines]


def _of_table(source: Path, index: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield the index and the name of every row."""
    columns, rows = read_rows(source)
    delimiter = delimiter_of(Sniffed(source).first_line)
    for number, values in rows:
        # such lists are also written by hand, with names that contain commas unquoted
        if columns[1:] == [name] and len(values) > 2:
            values = [values[0], delimiter.join(values[1:])]
        if len(values) != len(columns):
            raise ValueError(f"'{source}' has {len(values)} values at line {number} and "
                             f"{len(columns)} columns.")  # fmt: skip
        row = dict(zip(columns, map(str.strip, values), strict=True))
        if not row[name]:
            raise ValueError(f"'{source}' gives no name at line {number}.")
        yield row[index], row[name]


def _indices_last(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Return the indices behind the names, and the names; none if they are parts of the names.

    They are indices if they count the lines, from 0 or 1, and the names differ without them. Those
    of `step 1` and `step 2` are not.
    """
    matches = [match for line in lines if (match := re.fullmatch(_LAST, line))]
    indices = sorted(int(match[2]) for match in matches)
    names = {match[1] for match in matches}
    starts = (indices == [*range(start, start + len(lines))] for start in (0, 1))
    if not 1 < len(lines) == len(names) or not any(starts):
        return []
    return [(match[2], unquoted(match[1])) for match in matches]


def _in_order(numbered: Iterable[tuple[str, str]], source: Path, first_index: int) -> list[str]:
    """Return names in the order of their indices, which must have no gaps."""
    by_index: dict[int, str] = {}
    index_of: dict[str, str] = {}
    for index, listed in numbered:
        name = plain_template(listed)
        if not _INDEX.fullmatch(index) or int(index) in by_index:
            raise ValueError(
                f"'{source}' gives the label '{shortened(name)}' the index '{shortened(index)}', "
                "which is not an integer or is already used."
            )
        if name in index_of:
            raise ValueError(
                f"'{source}' gives the label '{shortened(name)}' two indices, {index_of[name]} and "
                f"{index}; {_NUMBERS_IN_NAMES}."
            )
        by_index[int(index)] = name
        index_of[name] = index
    if sorted(by_index) != list(range(first_index, len(by_index) + first_index)):
        raise ValueError(
            f"'{source}' numbers {len(by_index)} labels from {min(by_index)} to {max(by_index)}; "
            f"indices must run from {first_index} without gaps; {_NUMBERS_IN_NAMES}."
        )
    return [by_index[index] for index in sorted(by_index)]


def _refuse_one_without_index(lines: Sequence[str], source: Path, first_index: int) -> None:
    """Refuse a list in which all lines but one give an index: a header, or a name without one."""
    for pattern, index_group, _ in _SEPARATED:
        matches = [re.fullmatch(pattern, line) for line in lines]
        indices = {int(match[index_group]) for match in matches if match}
        possible = range(first_index, first_index + len(lines))
        if matches.count(None) == 1 and indices and indices <= {*possible}:
            raise ValueError(
                f"'{source}' reads '{shortened(lines[matches.index(None)])}' where the other lines "
                "give an index and a name; give it an index, or remove it if it is a header."
            )
