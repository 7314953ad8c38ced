"""Tables as spreadsheets and people write them."""

import logging

import pytest

from pks4_lightning.data.annotations.formats.tables import read_table
from pks4_lightning.data.annotations.layout import DataLayout
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


def test_rows_that_are_taken_for_comments_are_counted_once(tmp_path, caplog):
    rows = "#a.mp4,left,train\nb.mp4,right,train\nc.mp4,right,val\n"
    write(tmp_path / "metadata.csv", f"# mine\npath,label,split\n{rows}")
    layout = DataLayout(str(tmp_path))
    with caplog.at_level(logging.INFO):
        for split, video in (("train", "b.mp4"), ("val", "c.mp4"), ("test", "c.mp4")):
            assert [entry.video for entry in layout.entries(split)] == [video]
    assert caplog.text.count("metadata.csv': 1 lines begin with # and are ignored.") == 1


@pytest.mark.parametrize("count", [1, 20_000])
def test_a_quotation_mark_that_is_never_closed_is_reported(tmp_path, count):
    file = write(tmp_path / "train.csv", 'path,label\na.mp4,"left\n' + "b.mp4,right\n" * count)
    with pytest.raises(ValueError, match=r"train.csv' cannot be read from line 2 on: .*quotation"):
        read_table(file)


@pytest.mark.parametrize("name", ["metadata.csv", "annotations.csv"])
@pytest.mark.parametrize("header", ["path,label,split", "# mine\npath,label,subset"])
def test_a_table_of_the_training_split_alone_is_used_for_nothing_else(tmp_path, name, header):
    write(tmp_path / name, f"{header}\na.mp4,left,train\nb.mp4,right,train\n")
    for video in ("a.mp4", "b.mp4"):
        (tmp_path / video).touch()
    assert len(DataLayout(str(tmp_path)).read("train")) == 2
    hint = rf"`pks4 data split {tmp_path} --data.train {name}`, as '{name}' names no val split\.$"
    for split in ("val", "test"):
        with pytest.raises(FileNotFoundError, match=hint):
            DataLayout(str(tmp_path)).read(split)
        with pytest.raises(ValueError, match=rf"{name}' names no {split} split in its column"):
            DataLayout(str(tmp_path), **{split: name}).read(split)


TABLES = {
    "csv": ("path,label,split", "a.mp4,go"),
    "intervals": ("video,start,end,label,split", "a.mp4,0,1,go"),
    "kinetics": ("label,youtube_id,time_start,time_end,split", "go,AAAAAAAAAAA,0,10"),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize(
    ("words", "split", "message"),
    [
        (("fold1", "fold2"), "train", "gives the split 'fold1' at line 2; splits are train, val"),
        (("train", "eval"), "val", "gives the split 'eval' at line 3"),
        (("train", ""), "train", "gives the split '' at line 3"),
        (("train", "train"), "test", "names no test split in its column 'split', only train; set"),
        (("val", "test"), "train", "names no train split in its column 'split', only val and test"),
    ],
)
def test_words_that_name_no_split_are_refused(tmp_path, kind, words, split, message):
    header, row = TABLES[kind]
    file = write(tmp_path / "all.csv", "\n".join([header, *(f"{row},{word}" for word in words)]))
    assert detect_format(file).name == kind
    with pytest.raises(ValueError, match=rf"all.csv' {message}"):
        read_entries(file, FORMATS[kind], split=split)


@pytest.mark.parametrize("word", ["", "validate", "test"])
def test_a_table_of_one_split_serves_that_split(tmp_path, word):
    file = write(tmp_path / "val.csv", f"path,label,split\na.mp4,go,{word}\n")
    assert len(read_entries(file, FORMATS["csv"], split="val")) == 1


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("start", [",", ",Unnamed: 0,"])
def test_the_unnamed_index_that_pandas_writes_first_names_no_splits(tmp_path, kind, start):
    header, row = TABLES[kind]
    header, row = header.removesuffix(",split"), row.removesuffix(",train")
    number = "0," * start.count(",")
    file = write(tmp_path / "metadata.csv", f"{start}{header},,\n{number}{row},,\n")
    assert detect_format(file).name == kind
    assert [entry.label for entry in read_entries(file, FORMATS[kind])] == ["go"]


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("sign", [";", "\t"])
def test_every_table_is_recognised_however_its_header_is_written(tmp_path, kind, sign):
    header, row = TABLES[kind]
    names = sign.join(f'"{name}"' for name in header.upper().split(","))
    file = write(tmp_path / "all.csv", f"\ufeff{names}\n{row.replace(',', sign)}{sign}train\n")
    assert detect_format(file).name == kind
    assert [entry.label for entry in read_entries(file, FORMATS[kind])] == ["go"]


def test_a_line_that_is_too_long_for_a_table_is_no_header(tmp_path):
    file = write(tmp_path / "train.txt", "x" * 200_000)
    with pytest.raises(ValueError, match=r"reads 'x+\.\.\.x+' at line 1; a line must be"):
        read_entries(file, detect_format(file))
