from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest

from pks4_lightning.field_types import check_fields


@dataclass
class Settings:
    count: int = 1
    rate: float = 1.0
    name: str = ""
    is_on: bool = False
    either: int | Literal["auto"] | None = None
    pair: tuple[float, float] = (0.0, 1.0)
    numbers: list[float] | None = None
    others: dict[str, Any] | None = None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("count", np.int64(3)),
        ("rate", 3),
        ("either", "auto"),
        ("either", 2),
        ("pair", [0, 0.5]),
        ("numbers", [1, 2.5]),
        ("others", {"x": object()}),
    ],
)
def test_what_a_type_allows_passes(field, value):
    check_fields(Settings(**{field: value}))


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("count", 2.0, "a whole number"),
        ("count", True, "a whole number"),
        ("count", None, "a whole number"),
        ("rate", "1", "a finite number"),
        ("rate", float("inf"), "a finite number"),
        ("name", 1, "a text"),
        ("is_on", 1, "true or false"),
        ("either", "off", "a whole number, auto or null"),
        ("pair", (0.0,), "a list of a finite number and a finite number"),
        ("numbers", [0.0, "1"], "a list of a finite number or null"),
        ("others", "x", "a mapping or null"),
    ],
)
def test_what_it_does_not_allow_is_refused_in_words(field, value, wanted):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is compared below
        check_fields(Settings(**{field: value}), prefix="of.")
    assert str(error.value) == f"of.{field} is {value!r}; it must be {wanted}."
