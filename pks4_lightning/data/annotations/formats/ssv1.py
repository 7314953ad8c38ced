"""Something-Something V1: CSV files of ``id;template``, and one folder of JPEGs per video."""

from pks4_lightning.data.annotations.entry import Entry, read_lines, relative_path
from pks4_lightning.data.annotations.paths import shortened
from pks4_lightning.data.annotations.record import DataFormat, Part, Published

__all__ = ["SSV1", "read_ids"]


def read_ids(part: Part) -> list[Entry]:
    """Read lines of ``id;label``; the published test split has only ids.

    Args:
        part: Such as ``something-something-v1-train.csv``, which has no header.

    Raises:
        ValueError: If a line has no id, or more than one semicolon.
    """
    entries = []
    for number, line in read_lines(part.source):
        fields = [field.strip() for field in line.split(";")]
        if len(fields) > 2 or not fields[0]:
            raise ValueError(
                f"'{part.source}' reads '{shortened(line)}' at line {number}; a line "
                "must be 'id;label', or only the id in a test split."
            )
        place = f"line {number}"
        label = (fields[1:] or [""])[0] or None
        entries.append(Entry(relative_path(fields[0], part.source, place), label, place))
    return entries


SSV1 = DataFormat(
    name="ssv1",
    read=read_ids,
    recognises=lambda sniffed: sniffed.path.name.startswith("something-something-v1-"),
    splits={
        "train": ("something-something-v1-train.csv",),
        "val": ("something-something-v1-validation.csv",),
        "test": ("something-something-v1-test.csv",),
    },
    labels=("something-something-v1-labels.csv",),
    needs_labels=True,
    videos=("20bn-something-something-v1", "frames", ""),
    published=(
        Published("Something-Something V1", 174, {"train": 86_017, "val": 11_522, "test": 10_960}),
    ),
)
