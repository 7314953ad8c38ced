"""Read lists of class names as they come with data sets."""

import re
from pathlib import Path

from pks4_lightning.data.annotations.entry import read_json, read_lines, unquoted
from pks4_lightning.data.annotations.labels import plain_template, positions

__all__ = ["read_label_names"]


def read_label_names(source: Path, *, first_index: int = 0) -> list[str]:
    """Read the names of all classes, in the order of their indices.

    Args:
        source: JSON that maps names to indices (Something-Something) or lists names, as strings or
            as lists of attributes (Diving-48); or a text file with one name per line, preceded or
            followed by an index and a comma, or preceded by an index and a space (UCF-101).
        first_index: The first index in the file: 1 in UCF-101's ``classInd.txt``.

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
                                 "which is not an integer or is already used.")  # fmt: skip
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
        raise ValueError(f"'{source}' contains no labels.")
    positions(names, source)
    return names


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
            return {unquoted(match[name]): match[index] for match in matches}
    return [unquoted(line) for line in lines]
