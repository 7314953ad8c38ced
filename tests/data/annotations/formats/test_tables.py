"""Tables as spreadsheets and people write them."""

import logging

import pytest

from pks4_lightning.data.annotations.formats.tables import read_table
from pks4_lightning.data.annotations.reading import FORMATS, detect_format, read_entries


def write(path, content):
    path.write_text(content, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x0b", "\x1e", "\n", "\r\n"])
def test_a_quoted_value_may_hold_any_line_break(tmp_path, sign):
    file = write(tmp_path / "train.csv", f'path,label\na.mp4,"left{sign}turn"\nb.mp4,right\n')
    rows = read_entries(file, FORMATS["csv"])
    kept = "\n" if sign == "\r\n" else sign
    assert [(row.video, row.label) for row in rows] == [
        ("a.mp4", f"left{kept}turn"), ("b.mp4", "right")
    ]  # fmt: skip


@pytest.mark.parametrize("sign", ["\u2028", "\x85", "\x0c"])
def test_only_a_line_feed_ends_a_line_of_a_list(tmp_path, sign):
    file = write(tmp_path / "train.txt", f"a.mp4,left{sign}turn\r\nb.mp4 right\r\n")
    entries = read_entries(file, detect_format(file))
    assert [entry.label for entry in entries] == [f"left{sign}turn", "right"]


def test_a_quoted_line_below_a_line_break_is_no_comment(tmp_path, caplog):
    file = write(tmp_path / "train.csv", 'path,label\na.mp4,"left\n#turn"\nb.mp4,right\nc.mp4\n')
    with pytest.raises(ValueError, match="has 1 values at line 5 and 2 columns"):
        read_table(file)
    assert "begin with #" not in caplog.text


def test_rows_that_are_taken_for_comments_are_counted(tmp_path, caplog):
    file = write(tmp_path / "train.csv", "# mine\npath,label\n#a.mp4,left\nb.mp4,right\n")
    with caplog.at_level(logging.INFO):
        assert [entry.video for entry in read_entries(file, FORMATS["csv"])] == ["b.mp4"]
    assert "train.csv': 1 lines begin with # and are ignored." in caplog.text


def test_a_quotation_mark_that_is_never_closed_is_reported(tmp_path):
    file = write(tmp_path / "train.csv", 'path,label\na.mp4,"left\n' + "b.mp4,right\n" * 20_000)
    with pytest.raises(ValueError, match=r"train.csv' cannot be read from line 2 on: .*quotation"):
        read_table(file)
