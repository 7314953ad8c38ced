"""UCF-101: ``trainlist01.txt`` with lines of ``Class/v_Class_g01_c01.avi 1``, ``classInd.txt``."""

import re

from pks4_lightning.data.annotations.entry import Entry, read_lines
from pks4_lightning.data.annotations.paths import shortened
from pks4_lightning.data.annotations.record import DataFormat, Part, Published

__all__ = ["UCF101"]

# lists of test videos have no class number
_LINE = re.compile(r"(\w+)/(v_\w+_g\d+_c\d+\.\w+)(?:\s+(\d+))?")


def read_ucf101(part: Part) -> list[Entry]:
    """Read the lists of ``Class/v_Class_g01_c01.avi``, with or without a class number.

    Args:
        part: Such as ``trainlist01.txt``.

    Returns:
        Entries labelled by folder, because the numbers count from 1 and test lists have none.

    Raises:
        ValueError: If a line has another form.
    """
    entries = []
    for number, line in read_lines(part.source):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(
                f"'{part.source}' reads '{shortened(line)}' at line {number}; "
                "UCF-101's lists have lines such as 'Class/v_Class_g01_c01.avi'."
            )
        entries.append(Entry(f"{match[1]}/{match[2]}", match[1], f"line {number}"))
    return entries


UCF101 = DataFormat(
    name="ucf101",
    read=read_ucf101,
    recognises=lambda sniffed: _LINE.fullmatch(sniffed.first_line) is not None,
    splits={"train": ("trainlist0{fold}.txt",), "test": ("testlist0{fold}.txt",)},
    labels_are_names=True,
    folders=(
        "ucfTrainTestlist",
        "UCF101TrainTestSplits-RecognitionTask/ucfTrainTestlist",
        "",
        "labels",
        "annotations",
    ),
    labels=("classInd.txt",),
    first_label=1,
    videos=("UCF-101", "UCF101", "videos", ""),
    published=(Published("UCF-101", 101, {"train": 9_537, "val": 3_783}),),
)
