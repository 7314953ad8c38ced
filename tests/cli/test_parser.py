"""Types of parsed values, independent of what was imported before."""

import pytest
from lightning.pytorch import Callback

from pks4_lightning.cli.parser import OneSentenceParser


class Limited(Callback):
    def __init__(
        self,
        limit: float | int | None = None,  # typing's cache may return the union in this order
        share: float = 1.0,
        when: float | str | int = 1,
    ) -> None:
        pass


@pytest.mark.parametrize(
    ("text", "expected"), [("1", 1), ("0", 0), ("1.0", 1.0), ("0.5", 0.5), ("null", None)]
)
def test_a_whole_number_stays_one_in_any_order_of_a_union(text, expected):
    parser = OneSentenceParser()
    parser.add_lightning_class_args(Limited, "limited")
    found = parser.parse_args([f"--limited.limit={text}", "--limited.share=1"]).limited
    assert found.limit == expected
    assert type(found.limit) is type(expected)
    assert isinstance(found.share, float)


def test_a_whole_number_stays_one_in_a_class_given_by_path(monkeypatch):
    monkeypatch.setenv("PKS4_ALLOW_IMPORTS", __name__.partition(".")[0])
    parser = OneSentenceParser()
    parser.add_argument("--callbacks", type=list[Callback])
    given = f"[{{class_path: {__name__}.Limited, init_args: {{limit: 1}}}}]"
    (found,) = parser.parse_args(["--callbacks", given]).callbacks
    assert type(found.init_args.limit) is int
    parser.add_lightning_class_args(Callback, "one", subclass_mode=True, required=False)
    found = parser.parse_args([f"--one={__name__}.Limited", "--one.limit=1"]).one
    assert type(found.init_args.limit) is int


def test_text_stays_text():
    parser = OneSentenceParser()
    parser.add_lightning_class_args(Limited, "limited")
    assert parser.parse_args(["--limited.when=1 day"]).limited.when == "1 day"
    assert parser.parse_args(["--limited.when=2"]).limited.when == 2
