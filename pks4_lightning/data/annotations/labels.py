"""Class names, their indices, and the labels that annotations use for them."""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pks4_lightning.data.annotations.entry import Entry
from pks4_lightning.data.annotations.paths import shortened

__all__ = ["ClassNames", "match_label_order", "plain_template", "positions"]

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(?:\.0*)?")
_FRACTION = re.compile(r"[+-]?[0-9]*\.[0-9]+")
_MOST_NUMBERS = 1_000
_MOST_PER_LABEL = 10


@dataclass(frozen=True)
class ClassNames:
    """The classes of a data set.

    Args:
        names: Class names, by index.
        source: Where the names come from: a list of names, or the annotations of a split.
        is_list: Whether the source is a list of names, so that labels may be positions in it.
    """

    names: tuple[str, ...]
    source: Path
    is_list: bool

    @classmethod
    def of_entries(
        cls, entries: Sequence[Entry], source: Path, *, are_numbers: bool
    ) -> "ClassNames":
        """Collect the classes of a split that has no list of class names.

        Args:
            entries: The entries of the training split.
            source: Where they come from.
            are_numbers: Whether integer labels count the classes from 0, as in lists and tables;
                otherwise they are treated as names.

        Returns:
            The names, sorted; if all labels are class numbers, every number from 0 to the largest.

        Raises:
            ValueError: If numbers are negative, have fractions, or are too large to be class
                numbers.
        """
        first: dict[str, Entry] = {}
        for entry in entries:
            if entry.label is not None:
                first.setdefault(_spelled(entry.label), entry)
        if are_numbers:
            _refuse_negative(first.values(), source)
        if first and all(_NUMBER.fullmatch(name) or _FRACTION.fullmatch(name) for name in first):
            if are_numbers:
                names = _counted(list(first.values()), source)
            else:
                names = sorted(first, key=lambda name: (float(name), name))
        else:
            names = sorted(first)
        return cls(tuple(names), source, is_list=False)

    def indices(
        self, entries: Sequence[Entry], source: Path, *, are_numbers: bool
    ) -> tuple[int, ...]:
        """Turn the labels of entries into class indices.

        Args:
            entries: Entries with labels. Case, underscores and brackets are ignored.
            source: Where they come from, for messages.
            are_numbers: Whether a number may denote a class: the class of that name or, if all
                names are words from a list, the class at that position.

        Raises:
            ValueError: If a label is missing or denotes no class; the message suggests the closest
                names.
        """
        index_of = positions(self.names, self.source)
        is_position = self.is_list and not self._are_counted
        labels = []
        for entry in entries:
            if entry.label is None:
                raise ValueError(f"'{source}' gives no label for '{entry.video}' at {entry.place}.")
            label = index_of.get(_key(entry.label))
            if label is None and are_numbers and (number := _number(entry.label)) is not None:
                label = index_of.get(str(number))
                if label is None and is_position and 0 <= number < len(self.names):
                    label = number
            if label is None:
                raise ValueError(self._unknown(entry, source, are_numbers=are_numbers))
            labels.append(label)
        return tuple(labels)

    @property
    def _are_counted(self) -> bool:
        """Whether the names are numbers; for a list of names, one number is enough."""
        are_numbers = map(_NUMBER.fullmatch, self.names)
        return any(are_numbers) if self.is_list else all(are_numbers)

    def _unknown(self, entry: Entry, source: Path, *, are_numbers: bool) -> str:
        """Return the message about a label that denotes no class."""
        label, place = shortened(str(entry.label)), entry.place
        number = _number(label) if are_numbers else None
        if number is not None and number < 0:
            return _negative(entry, source)
        if number is not None and self.is_list != self._are_counted:
            return (
                f"'{source}' gives the label {label} at {place}; the {len(self.names)} known "
                f"labels are 0 to {len(self.names) - 1}."
            )
        if are_numbers and not self.is_list and (number is None) == self._are_counted:
            kinds = ("a number", "names") if number is not None else ("a name", "numbers")
            return (
                f"'{source}' gives the label '{label}' at {place}, {kinds[0]}, but '{self.source}' "
                f"{kinds[1]} the classes ({', '.join(map(repr, self.names[:3]))}); use the same "
                "labels in both, or set data.labels to a list of the names in order of the numbers."
            )
        by_key = {_key(name): name for name in self.names}
        close = [by_key[key] for key in difflib.get_close_matches(_key(label), by_key, n=3)]
        hint = f"the closest known labels are {', '.join(map(repr, close))}" if close else (
            f"it resembles none of the {len(self.names)} known labels"
        )  # fmt: skip
        return f"'{source}' gives the unknown label '{label}' at {place}; {hint}."


def match_label_order(*, data: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    """Return the index of each of the data's classes in another list of the same names.

    Args:
        data: Names of the data's classes, in their order.
        wanted: The same names in the order of a model's outputs. Case, underscores and brackets
            are ignored.

    Returns:
        An index into ``wanted`` per class of the data.

    Raises:
        ValueError: If a name is in only one of the lists; the message gives the first one.
    """
    position = {_key(name): index for index, name in enumerate(wanted)}
    unmatched = set(position) - set(map(_key, data))
    for index, name in enumerate(data):
        if _key(name) not in position:
            close = difflib.get_close_matches(_key(name), unmatched, n=1)
            hint = f" (the closest is {wanted[position[close[0]]]!r})" if close else ""
            raise ValueError(
                f"Class {index} of the data, {name!r}, is not among the {len(wanted)} classes of "
                f"the checkpoint{hint}; labels can be remapped only if all names are the same."
            )
    order = tuple(position[_key(name)] for name in data)
    absent = sorted(set(range(len(wanted))) - set(order))
    if absent:
        raise ValueError(
            f"Class {absent[0]} of the checkpoint, {wanted[absent[0]]!r}, is not among the "
            f"{len(data)} classes of the data; labels can be remapped only if the names are the "
            "same."
        )
    return order


def plain_template(name: str) -> str:
    """Return a Something-Something template without brackets, as its label list writes it."""
    return re.sub(r"\[([^\]]*)\]", r"\1", name).strip()


def positions(names: Sequence[str], source: Path) -> dict[str, int]:
    """Map the normalised name of every class to its index.

    Args:
        names: Class names, by index.
        source: Where they come from, for the message.

    Raises:
        ValueError: If two names differ only in spelling.
    """
    position: dict[str, int] = {}
    for index, name in enumerate(names):
        if position.setdefault(_key(name), index) != index:
            raise ValueError(
                f"'{source}' gives classes {position[_key(name)]} and {index} the same label, "
                f"'{names[position[_key(name)]]}' and '{name}' (case and "
                "underscores are ignored); rename or remove one of them."
            )
    return position


def _counted(firsts: Sequence[Entry], source: Path) -> list[str]:
    """Return all numbers from 0 to the largest label.

    Args:
        firsts: The first entry of every label; all labels are numbers.
        source: Where they come from.
    """
    largest, at_largest = -1, None
    for entry in firsts:
        number = _number(str(entry.label))
        if number is None:
            raise ValueError(
                f"'{source}' gives the label {entry.label} at {entry.place}; numbers of classes "
                "must be integers; if it is a name, set data.labels to a file with one name per "
                "line."
            )
        if number > largest:
            largest, at_largest = number, entry
    if at_largest and largest >= max(_MOST_NUMBERS, _MOST_PER_LABEL * len(firsts)):
        raise ValueError(
            f"'{source}' gives the label {at_largest.label} at {at_largest.place}, which is too "
            f"large for a class number, as there are only {len(firsts)} different labels; if it is "
            "a name, set data.labels to a file with one name per line."
        )
    return [str(index) for index in range(largest + 1)]


def _refuse_negative(entries: Iterable[Entry], source: Path) -> None:
    for entry in entries:
        number = _number(str(entry.label))
        if number is not None and number < 0:
            raise ValueError(_negative(entry, source))


def _negative(entry: Entry, source: Path) -> str:
    return (
        f"'{source}' gives the label {entry.label} at {entry.place}; class numbers start at 0, so "
        "remove videos without a class from the list."
    )


def _number(label: str) -> int | None:
    """Return the integer value of a label, or None; ``1.0`` is 1."""
    return int(label.partition(".")[0]) if _NUMBER.fullmatch(label) else None


def _spelled(name: str) -> str:
    """Return a name with accents in one Unicode normal form."""
    return unicodedata.normalize("NFC", plain_template(name))


def _key(name: str) -> str:
    return " ".join(_spelled(name).replace("_", " ").split()).casefold()
