"""Class names and their numbers."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from pks4_lightning.data.annotations.entry import Entry, read_json, read_lines

__all__ = [
    "label_entries",
    "match_label_order",
    "names_from_entries",
    "plain_template",
    "read_label_names",
]


def read_label_names(source: Path, *, first_index: int = 0) -> list[str]:
    """Read the names of all classes, in the order of their indices.

    Args:
        source: JSON that maps names to indices (Something-Something) or lists names, in one piece
            or as a list of attributes (Diving-48); or a text file with a name per line, which an
            index and a comma may precede or follow, or an index and a space precede (UCF-101).
        first_index: What the file counts from: 1 in UCF-101's ``classInd.txt``.

    Raises:
        ValueError: If indices have gaps, or a name or index appears twice.
    """
    content = read_json(source) if source.suffix.lower() == ".json" else _label_lines(source)
    if isinstance(content, list):
        names = [
            plain_template(" ".join(map(str, name)) if isinstance(name, list) else str(name))
            for name in content
        ]
    elif isinstance(content, dict):
        by_index = {}
        for name, index in content.items():
            if not str(index).isdecimal() or int(index) in by_index:
                raise ValueError(f"'{source}' gives the label '{name}' the index '{index}', "
                                 "which is no number or is taken already.")  # fmt: skip
            by_index[int(index)] = plain_template(name)
        if sorted(by_index) != list(range(first_index, len(by_index) + first_index)):
            raise ValueError(
                f"'{source}' numbers {len(by_index)} labels from {min(by_index, default=0)} to "
                f"{max(by_index, default=0)}; indices must run from {first_index} without gaps."
            )
        names = [by_index[index] for index in sorted(by_index)]
    else:
        raise ValueError(f"'{source}' must map label names to indices, or list the names.")
    if not names:
        raise ValueError(f"'{source}' holds no labels.")
    _positions(names, source)
    return names


def names_from_entries(entries: Sequence[Entry]) -> list[str]:
    """Collect the class names of a split that comes without a list of them.

    Args:
        entries: The training split's.

    Returns:
        The names, sorted. Where all labels are whole numbers, every number from 0 to the largest.
    """
    names = {entry.label for entry in entries if entry.label is not None}
    if names and all(name.isdecimal() for name in names):
        return [str(index) for index in range(max(map(int, names)) + 1)]
    return sorted({plain_template(name) for name in names})


def label_entries(entries: Sequence[Entry], names: Sequence[str], source: Path) -> tuple[int, ...]:
    """Turn the entries' labels into class indices.

    Args:
        entries: Entries, each with a label.
        names: Names of all classes. Case, underscores and brackets make no difference.
        source: Where the entries come from, for messages.

    Raises:
        ValueError: If a label is absent or not among the names; the closest names are suggested.
    """
    position = _positions(names, source)
    labels = []
    for entry in entries:
        if entry.label is None:
            raise ValueError(f"'{source}' gives no label for '{entry.video}' at {entry.place}.")
        label = position.get(_key(entry.label))
        if label is None and entry.label.isdecimal() and int(entry.label) < len(names):
            label = int(entry.label)
        if label is None:
            raise ValueError(_unknown_label(entry, names, source))
        labels.append(label)
    return tuple(labels)


def match_label_order(*, data: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    """Say which number each of the data's classes has in another list of the same names.

    Args:
        data: Names of the data's classes, in their order.
        wanted: The same names in the order that a model's outputs have. Case, underscores and
            brackets make no difference.

    Returns:
        An index into ``wanted`` per class of the data.

    Raises:
        ValueError: If a name is in one of the lists only; the first one is named.
    """
    position = {_key(name): index for index, name in enumerate(wanted)}
    unmatched = set(position) - set(map(_key, data))
    for index, name in enumerate(data):
        if _key(name) not in position:
            close = difflib.get_close_matches(_key(name), unmatched, n=1)
            hint = f" (the closest is {wanted[position[close[0]]]!r})" if close else ""
            raise ValueError(
                f"Class {index} of the data, {name!r}, is none of the {len(wanted)} classes of the "
                f"checkpoint{hint}; only the same names in another order can be remapped."
            )
    order = tuple(position[_key(name)] for name in data)
    absent = sorted(set(range(len(wanted))) - set(order))
    if absent:
        raise ValueError(
            f"Class {absent[0]} of the checkpoint, {wanted[absent[0]]!r}, is none of the "
            f"{len(data)} classes of the data; only the same names in another order can be "
            "remapped."
        )
    return order


def plain_template(name: str) -> str:
    """Return a template of Something-Something as its label list writes it, without brackets."""
    return re.sub(r"\[([^\]]*)\]", r"\1", name).strip()


def _label_lines(source: Path) -> dict[str, str] | list[str]:
    lines = [line for _, line in read_lines(source)]
    if lines and {"id", "name"} <= set(lines[0].split(",")):
        lines = lines[1:]
    for pattern, name, index in (
        (r"(\d+)\s*,\s*(.+)", 2, 1),
        (r"(.+?)\s*[,;]\s*(\d+)", 1, 2),
        (r"(\d+)\s+(\S.*)", 2, 1),
    ):
        matches = [match for line in lines if (match := re.fullmatch(pattern, line))]
        if lines and len(matches) == len(lines):
            return {match[name].strip('"'): match[index] for match in matches}
    return lines


def _key(name: str) -> str:
    return " ".join(plain_template(name).replace("_", " ").split()).casefold()


def _positions(names: Sequence[str], source: Path) -> dict[str, int]:
    position: dict[str, int] = {}
    for index, name in enumerate(names):
        if position.setdefault(_key(name), index) != index:
            raise ValueError(
                f"'{source}' has two labels that differ in case or underscores at most: "
                f"'{names[position[_key(name)]]}' and '{name}'."
            )
    return position


def _unknown_label(entry: Entry, names: Sequence[str], source: Path) -> str:
    label = str(entry.label)
    if label.isdecimal():
        return (
            f"'{source}' gives the label {label} at {entry.place}; the {len(names)} known ones "
            f"are 0 to {len(names) - 1}."
        )
    by_key = {_key(name): name for name in names}
    close = [by_key[key] for key in difflib.get_close_matches(_key(label), by_key, n=3)]
    hint = f"the closest known ones are {', '.join(map(repr, close))}" if close else (
        f"it resembles none of the {len(names)} known ones"
    )  # fmt: skip
    return f"'{source}' gives the unknown label '{label}' at {entry.place}; {hint}."
