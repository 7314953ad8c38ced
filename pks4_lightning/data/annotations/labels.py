"""Class names, their numbers, and what annotations may call them."""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pks4_lightning.data.annotations.entry import Entry, shortened

__all__ = ["ClassNames", "match_label_order", "plain_template", "positions"]

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(?:\.0*)?")
_FRACTION = re.compile(r"[+-]?[0-9]*\.[0-9]+")
_MOST_NUMBERS = 1_000
_MOST_PER_LABEL = 10


@dataclass(frozen=True)
class ClassNames:
    """The classes of a data set.

    Args:
        names: By class index.
        source: What names them: a list of names, or the annotations of a split.
        is_list: Whether that is a list of names, so that labels may be positions in it.
    """

    names: tuple[str, ...]
    source: Path
    is_list: bool

    @classmethod
    def of_entries(
        cls, entries: Sequence[Entry], source: Path, *, are_numbers: bool
    ) -> "ClassNames":
        """Collect the classes of a split that comes without a list of them.

        Args:
            entries: The training split's.
            source: Where they come from.
            are_numbers: Whether labels that are whole numbers count the classes from 0, as in lists
                and tables; elsewhere they are names like others.

        Returns:
            The names, sorted; every number from 0 to the largest where all labels are numbers of
            classes.

        Raises:
            ValueError: If the numbers are negative, have fractions, or are too large to be numbers
                of classes.
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
            entries: Entries, each with a label. Case, underscores and brackets make no difference.
            source: Where they come from, for messages.
            are_numbers: Whether a number may stand for a class: for the one of that name, or where
                all names are words and come from a list, for the one at that position.

        Raises:
            ValueError: If a label is absent, or stands for no class; the closest names are
                suggested.
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
        """Whether names are numbers; one is enough for a list to be of names, not of positions."""
        are_numbers = map(_NUMBER.fullmatch, self.names)
        return any(are_numbers) if self.is_list else all(are_numbers)

    def _unknown(self, entry: Entry, source: Path, *, are_numbers: bool) -> str:
        """Return the sentence about a label that stands for no class."""
        label, place = shortened(str(entry.label)), entry.place
        number = _number(label) if are_numbers else None
        if number is not None and number < 0:
            return _negative(entry, source)
        if number is not None and self.is_list != self._are_counted:
            return (
                f"'{source}' gives the label {label} at {place}; the {len(self.names)} known ones "
                f"are 0 to {len(self.names) - 1}."
            )
        if are_numbers and not self.is_list and (number is None) == self._are_counted:
            kinds = ("a number", "names") if number is not None else ("a name", "numbers")
            return (
                f"'{source}' gives the label '{label}' at {place}, {kinds[0]}, and '{self.source}' "
                f"{kinds[1]} the classes ({', '.join(map(repr, self.names[:3]))}); spell them "
                "alike, or set data.labels to a list of the names in the order of the numbers."
            )
        by_key = {_key(name): name for name in self.names}
        close = [by_key[key] for key in difflib.get_close_matches(_key(label), by_key, n=3)]
        hint = f"the closest known ones are {', '.join(map(repr, close))}" if close else (
            f"it resembles none of the {len(self.names)} known ones"
        )  # fmt: skip
        return f"'{source}' gives the unknown label '{label}' at {place}; {hint}."


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


def positions(names: Sequence[str], source: Path) -> dict[str, int]:
    """Return the index of every class by one spelling of its name.

    Args:
        names: By class index.
        source: What names them, for the message.

    Raises:
        ValueError: If two of them differ in their spelling only.
    """
    position: dict[str, int] = {}
    for index, name in enumerate(names):
        if position.setdefault(_key(name), index) != index:
            raise ValueError(
                f"'{source}' has two labels that differ in case or underscores at most: "
                f"'{names[position[_key(name)]]}' and '{name}'."
            )
    return position


def _counted(firsts: Sequence[Entry], source: Path) -> list[str]:
    """Return every number from 0 to the largest label.

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
                "are whole, so if it is a name, set data.labels to a file with a name per line."
            )
        if number > largest:
            largest, at_largest = number, entry
    if at_largest and largest >= max(_MOST_NUMBERS, _MOST_PER_LABEL * len(firsts)):
        raise ValueError(
            f"'{source}' gives the label {at_largest.label} at {at_largest.place}, too large a "
            f"number for one of {len(firsts)} different classes that count from 0; if it is a "
            "name, set data.labels to a file with a name per line."
        )
    return [str(index) for index in range(largest + 1)]


def _refuse_negative(entries: Iterable[Entry], source: Path) -> None:
    for entry in entries:
        number = _number(str(entry.label))
        if number is not None and number < 0:
            raise ValueError(_negative(entry, source))


def _negative(entry: Entry, source: Path) -> str:
    return (
        f"'{source}' gives the label {entry.label} at {entry.place}; numbers of classes count from "
        "0, so leave videos without a class out of it."
    )


def _number(label: str) -> int | None:
    """Return the whole number that a label is, if it is one; ``1.0`` is 1."""
    return int(label.partition(".")[0]) if _NUMBER.fullmatch(label) else None


def _spelled(name: str) -> str:
    """Return a name in one of the two forms that Unicode has for accents."""
    return unicodedata.normalize("NFC", plain_template(name))


def _key(name: str) -> str:
    return " ".join(_spelled(name).replace("_", " ").split()).casefold()
