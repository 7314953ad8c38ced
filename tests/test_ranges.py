"""Numbers out of range are refused by name, NaN among them."""

import math

import pytest

from pks4_lightning.ranges import check_at_least, check_positive


@pytest.mark.parametrize("number", [1, 1.5, math.inf, None])
def test_what_is_large_enough_passes(number):
    check_at_least(1, {"data.num_clips": number})
    check_positive({"timeout": number})


@pytest.mark.parametrize("number", [0, -1, math.nan])
def test_what_is_not_is_refused_by_name(number):
    with pytest.raises(ValueError, match=rf"^data.num_clips is {number}; it must be at least 1.$"):
        check_at_least(1, {"fine": 1, "data.num_clips": number})
    with pytest.raises(ValueError, match=rf"^timeout is {number}; it must be above 0.$"):
        check_positive({"fine": 1, "timeout": number})


def test_what_is_no_number_is_refused():
    with pytest.raises(ValueError, match="num_best is all; it must be at least 1"):
        check_at_least(1, {"num_best": "all"})
