"""What the parser makes of text, whatever the program did before."""

import pytest
from lightning.pytorch import Callback

from pks4_lightning.cli.parser import OneSentenceParser


class Limited(Callback):
    def __init__(
        self,
        limit: float | int | None = None,  # as typing's cache may return it
        share: float = 1.0,
        when: float | str | int = 1,
    ) -> None:
        pass


@pytest.mark.parametrize(
    ("text", "expected"), [("1", 1), ("0", 0), ("1.0", 1.0), ("0.5", 0.5), ("null", None)]
)
def test_a_whole_number_stays_one_in_whatever_order_a_union_comes(text, expected):
    parser = OneSentenceParser()
    parser.add_lightning_class_args(Limited, "limited")
    found = parser.parse_args([f"--limited.limit={text}", "--limited.share=1"]).limited
    assert found.limit == expected
    assert type(found.limit) is type(expected)
    assert isinstance(found.share, float)


def test_text_stays_text():
    parser = OneSentenceParser()
    parser.add_lightning_class_args(Limited, "limited")
    assert parser.parse_args(["--limited.when=1 day"]).limited.when == "1 day"
    assert parser.parse_args(["--limited.when=2"]).limited.when == 2
