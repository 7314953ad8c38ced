"""How many videos the published data sets list, to compare with what is on the disk."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["OFFICIAL", "Official", "official_counts"]

Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Official:
    """The numbers that a data set's authors publish."""

    name: str
    annotation_format: str
    num_classes: int
    counts: dict[Split, int]
    exact: bool = True
    """False where the videos are links, of which every copy has lost some."""


# The test split of a set whose authors keep its labels is the validation split here.
OFFICIAL = (
    Official("Something-Something V2", "ssv2", 174, {"train": 168_913, "val": 24_777}),
    Official("Kinetics-400", "kinetics", 400, {"train": 246_535, "val": 19_907}, exact=False),
    Official("Kinetics-600", "kinetics", 600, {"train": 392_622, "val": 30_000}, exact=False),
    Official("Kinetics-700", "kinetics", 700, {"train": 545_317, "val": 35_000}, exact=False),
    Official("UCF-101", "ucf101", 101, {"train": 9_537, "val": 3_783}),
    Official("HMDB-51", "hmdb51", 51, {"train": 3_570, "val": 1_530}),
    Official("Diving-48 V2", "diving48", 48, {"train": 15_027, "val": 1_970}),
    Official("COIN", "coin", 180, {"train": 9_030, "val": 2_797}, exact=False),
)
_ANYBODYS_FORMATS = frozenset({"list", "csv", "frames", "folder"})


def official_counts(annotation_format: str, num_classes: int) -> Official | None:
    """Find the published data set that this may be a copy of.

    Args:
        annotation_format: As ``data.format`` has it.
        num_classes: Number of label names.

    Returns:
        The one with as many classes and this format, or any format that suits lists of one's own;
        ``None`` if there is none.
    """
    for known in OFFICIAL:
        fits = annotation_format in (known.annotation_format, *_ANYBODYS_FORMATS)
        if fits and known.num_classes == num_classes:
            return known
    return None
