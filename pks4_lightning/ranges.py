"""Refuse numbers that are out of range."""

from collections.abc import Mapping
from numbers import Real

__all__ = ["check_at_least", "check_positive"]


def check_at_least(least: int, numbers: Mapping[str, float | None]) -> None:
    """Refuse numbers below a minimum, NaN, and what is no number.

    Args:
        least: The minimum.
        numbers: By the names that their user knows, such as ``data.num_clips``. ``None`` is none.

    Raises:
        ValueError: If a number is smaller, NaN, or no number.
    """
    for name, number in numbers.items():
        if number is not None and not (isinstance(number, Real) and number >= least):
            raise ValueError(f"{name} is {number}; it must be at least {least}.")


def check_positive(numbers: Mapping[str, float | None]) -> None:
    """Refuse zero, negative numbers and NaN.

    Args:
        numbers: As in :func:`check_at_least`.

    Raises:
        ValueError: If a number is not positive.
    """
    for name, number in numbers.items():
        if number is not None and not number > 0:
            raise ValueError(f"{name} is {number}; it must be above 0.")
