"""Refuse values that do not have the type which the field of a dataclass declares."""

import math
from collections.abc import Iterator
from dataclasses import fields
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

__all__ = ["check_fields"]

_WORDS = {
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    str: "a text",
    dict: "a mapping",
    NoneType: "null",
}


def check_fields(instance: Any, *, prefix: str = "") -> None:
    """Refuse fields of the wrong type, values that a ``Literal`` lacks, NaN and infinity.

    A whole number may stand for a ``float``, and a list for a tuple; ``True`` is no number.

    Args:
        instance: A dataclass whose fields are of plain types: numbers, texts, switches, ``Any``,
            ``None``, ``Literal`` and classes, or lists, tuples, dictionaries and unions of these.
        prefix: What users write before the name of a field, such as ``recipe.``.

    Raises:
        ValueError: If a value does not fit; the message names the field and what it may be.
    """
    for field in fields(instance):
        value = getattr(instance, field.name)
        if not _fits(value, field.type):
            *others, last = _descriptions(field.type)
            wanted = f"{', '.join(others)} or {last}" if others else last
            raise ValueError(f"{prefix}{field.name} is {value!r}; it must be {wanted}.")


def _fits(value: Any, kind: Any) -> bool:
    origin, parts = get_origin(kind) or kind, get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return value in parts
    if origin is tuple:
        is_as_long = isinstance(value, tuple | list) and len(value) == len(parts)
        return is_as_long and all(map(_fits, value, parts))
    if origin is list:
        return isinstance(value, list) and all(_fits(each, parts[0]) for each in value)
    return _is_plain(value, origin)


def _is_plain(value: Any, kind: Any) -> bool:
    if kind in (int, float):
        is_number = isinstance(value, Integral if kind is int else Real)
        return is_number and not isinstance(value, bool) and math.isfinite(value)
    return kind is Any or isinstance(value, kind)


def _descriptions(kind: Any) -> Iterator[str]:
    """Yield each of the things that a value may be, in words."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        for part in parts:
            yield from _descriptions(part)
    elif origin is Literal:
        yield from map(str, parts)
    elif origin in (list, tuple):
        kinds = " and ".join(" or ".join(_descriptions(part)) for part in parts)
        yield f"a list of {kinds}"
    else:
        plain = origin or kind
        yield _WORDS.get(plain, getattr(plain, "__name__", str(plain)))
