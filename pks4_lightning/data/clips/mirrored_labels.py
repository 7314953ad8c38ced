"""Find the class that a clip shows when it is mirrored or played backwards."""

import difflib
import logging
import re
from collections.abc import Iterator, Sequence

__all__ = ["NEVER", "flipped_labels", "reversed_labels"]

logger = logging.getLogger(__name__)

NEVER = -1
"""In the place of a class: its clips must not be changed."""

_OPPOSITE = {
    "left": "right",
    "right": "left",
    "leftward": "rightward",
    "rightward": "leftward",
    "leftwards": "rightwards",
    "rightwards": "leftwards",
    "clockwise": "anticlockwise",
    "anticlockwise": "clockwise",
}


def flipped_labels(
    label_names: Sequence[str], pairs: Sequence[tuple[int | str, int | str]] | None
) -> tuple[int, ...]:
    """Return, for every class, the class that its mirrored clips belong to.

    Args:
        label_names: Names of all classes, in order.
        pairs: As in ``Augmentation.flip_label_pairs``.

    Returns:
        A class index per class; -1 where a clip must not be mirrored.

    Raises:
        ValueError: If a pair names a class that does not exist, a class is in two pairs, or the
            names of two paired indices do not mirror each other.
    """
    if pairs is None:
        return _mirrored_by_name(label_names)
    setting = "augmentation.flip_label_pairs"
    mirrored = list(range(len(label_names)))
    for pair, one, other in _pairs_of_classes(setting, label_names, pairs):
        names = label_names[one], label_names[other]
        are_named = not all(name.isdecimal() for name in names)
        by_index = all(isinstance(label, int) for label in pair)
        if by_index and are_named and _words(names[1]) != _swap_sides(_words(names[0])):
            raise ValueError(
                f"{setting} contains {_shown(pair)}, which here are '{names[0]}' and '{names[1]}' "
                "and do not mirror each other; leave it out to have pairs found by name, or name "
                "the classes that a flip swaps."
            )
        mirrored[one], mirrored[other] = other, one
    return tuple(mirrored)


def reversed_labels(
    label_names: Sequence[str], pairs: Sequence[tuple[int | str, int | str]] | None
) -> tuple[int, ...]:
    """Return, for every class, the class that its clips show when played backwards.

    Args:
        label_names: Names of all classes, in order.
        pairs: As in ``Augmentation.reverse_label_pairs``.

    Returns:
        A class index per class; -1 where a clip must not be reversed.

    Raises:
        ValueError: If a pair names a class that does not exist, or a class is in two pairs.
    """
    backwards = [NEVER] * len(label_names)
    setting = "augmentation.reverse_label_pairs"
    for _, one, other in _pairs_of_classes(setting, label_names, pairs or ()):
        backwards[one], backwards[other] = other, one
    return tuple(backwards)


def _pairs_of_classes(
    setting: str, label_names: Sequence[str], pairs: Sequence[tuple[int | str, int | str]]
) -> Iterator[tuple[tuple[int | str, int | str], int, int]]:
    """Yield the pairs of a setting, as written and as indices."""
    paired: set[int] = set()
    for pair in pairs:
        one, other = (_class_of(setting, label, label_names) for label in pair)
        if {one, other} & paired:
            raise ValueError(
                f"{setting} contains {_shown(pair)}, one class of which is already in another "
                "pair; a class can be in one pair only."
            )
        paired |= {one, other}
        yield pair, one, other


def _class_of(setting: str, label: int | str, label_names: Sequence[str]) -> int:
    """Return the index of a class given by index or by name."""
    if isinstance(label, str):
        names = [_plain(name) for name in label_names]
        if _plain(label) in names:
            return names.index(_plain(label))
        close = difflib.get_close_matches(_plain(label), names, n=1)
        hint = f"; the closest is '{label_names[names.index(close[0])]}'" if close else ""
        raise ValueError(
            f"{setting} names '{label}', which is not among the {len(names)} classes{hint}."
        )
    if not 0 <= label < len(label_names):
        raise ValueError(
            f"{setting} contains {label}; the classes are 0 to {len(label_names) - 1}."
        )
    return label


def _shown(pair: tuple[int | str, int | str]) -> str:
    return f"[{pair[0]}, {pair[1]}]"


def _mirrored_by_name(label_names: Sequence[str]) -> tuple[int, ...]:
    position = {_words(name): index for index, name in enumerate(label_names)}
    mirrored = [position.get(_swap_sides(_words(name)), NEVER) for name in label_names]
    lonely = [name for name, other in zip(label_names, mirrored, strict=True) if other == NEVER]
    if lonely:
        logger.warning(
            "%d classes have a side in their name and no mirrored counterpart, such as '%s'; "
            "their clips are not flipped (set augmentation.flip_label_pairs to pair them by hand).",
            len(lonely),
            lonely[0],
        )
    return tuple(mirrored)


def _plain(name: str) -> str:
    """Return the normalised form of a class name, for comparing names."""
    words = " ".join(name.replace("_", " ").casefold().split())
    return re.sub(r"\b(counter|anti)[- ]?clockwise\b", "anticlockwise", words)


def _words(name: str) -> str:
    """Return the normalised form of a name with its words apart: ``turnLeft`` is ``turn left``."""
    return _plain(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))


def _swap_sides(plain: str) -> str:
    pattern = rf"\b({'|'.join(_OPPOSITE)})\b"
    return re.sub(pattern, lambda match: _OPPOSITE[match.group()], plain)
