"""Where the archives of each data set put annotations, class names and videos."""

from collections.abc import Mapping
from dataclasses import dataclass

from pks4_lightning.data.annotations.formats.entry import Split
from pks4_lightning.data.annotations.reading import AnnotationFormat

__all__ = ["FILES_OF_ALL_SPLITS", "FOLDER_FORMATS", "PLACES", "Places"]


@dataclass(frozen=True)
class Places:
    """Names to look for, in this order; ``{fold}`` stands for the number of an official split.

    Args:
        splits: Annotations of a split below one of ``folders``. Where a data set has no validation
            split, its test split serves for it, as in the papers.
        labels: The list of class names, in the same folders.
        folders: Below the root.
        videos: Folders with the videos, below the root.
    """

    splits: Mapping[Split, tuple[str, ...]]
    labels: tuple[str, ...] = ()
    folders: tuple[str, ...] = ("", "labels", "annotations")
    videos: tuple[str, ...] = ("",)


FOLDER_FORMATS = frozenset({"hmdb51", "breakfast", "folder"})
"""Formats whose annotations are a folder."""

FILES_OF_ALL_SPLITS = frozenset({"metadata.csv", "annotations.csv"})
"""Tables that serve for validation and testing only if a column tells the splits apart."""

_HMDB51 = (
    "testTrainMulti_7030_splits",
    "test_train_splits",
    "splits",
    "metafile",
    "annotations",
    "",
)
_BREAKFAST = ("BreakfastII_15fps_qvga_sync", "videos", "")

PLACES: Mapping[AnnotationFormat, Places] = {
    "ssv2": Places(
        {
            "train": ("train.json", "something-something-v2-train.json"),
            "val": ("validation.json", "something-something-v2-validation.json"),
            "test": ("test.json", "something-something-v2-test.json"),
        },
        labels=("labels.json", "something-something-v2-labels.json"),
        videos=("20bn-something-something-v2", "videos", "frames", ""),
    ),
    "ucf101": Places(
        {
            "train": ("trainlist0{fold}.txt",),
            "val": ("testlist0{fold}.txt",),
            "test": ("testlist0{fold}.txt",),
        },
        labels=("classInd.txt",),
        folders=(
            "ucfTrainTestlist",
            "UCF101TrainTestSplits-RecognitionTask/ucfTrainTestlist",
            "",
            "labels",
            "annotations",
        ),
        videos=("UCF-101", "UCF101", "videos", ""),
    ),
    "diving48": Places(
        {
            "train": ("Diving48_V2_train.json",),
            "val": ("Diving48_V2_test.json",),
            "test": ("Diving48_V2_test.json",),
        },
        labels=("Diving48_vocab.json",),
        videos=("rgb", "Diving48_rgb/rgb", "videos", ""),
    ),
    "coin": Places(
        {"train": ("COIN.json",), "val": ("COIN.json",), "test": ("COIN.json",)},
        videos=("videos", ""),
    ),
    "kinetics": Places(
        {
            "train": (
                "train.csv",
                "train.txt",
                *(f"kinetics{dash}{k}_train.csv" for k in (400, 600, 700) for dash in ("-", "")),
                "kinetics_train.csv",
            ),
            "val": (
                "validate.csv",
                "val.csv",
                "validation.csv",
                "val.txt",
                *(f"kinetics{dash}{k}_val.csv" for k in (400, 600, 700) for dash in ("-", "")),
                "kinetics_val.csv",
            ),
        },
    ),
    "csv": Places(
        {
            "train": ("train.csv", "metadata.csv", "annotations.csv"),
            "val": ("val.csv", "validation.csv", "metadata.csv", "annotations.csv"),
            "test": ("test.csv", "metadata.csv", "annotations.csv"),
        },
        labels=("labels.txt", "classes.txt"),
        videos=("", "videos"),
    ),
    "list": Places(
        {
            "train": ("train.txt", "train.csv"),
            "val": ("val.txt", "val.csv", "validation.txt"),
            "test": ("test.txt", "test.csv"),
        },
        labels=("labels.txt", "classes.txt"),
        videos=("", "videos"),
    ),
    "frames": Places(
        {
            "train": ("train.txt", "train_videofolder.txt"),
            "val": ("val.txt", "validation.txt", "val_videofolder.txt"),
            "test": ("test.txt", "test_videofolder.txt"),
        },
        labels=("labels.txt", "classes.txt", "category.txt"),
        videos=("", "frames", "rawframes", "20bn-something-something-v2-frames"),
    ),
    "hmdb51": Places(
        {"train": _HMDB51, "val": _HMDB51, "test": _HMDB51},
        folders=("",),
        videos=("hmdb51_org", "HMDB51", "videos", ""),
    ),
    "breakfast": Places(
        {"train": _BREAKFAST, "val": _BREAKFAST, "test": _BREAKFAST}, folders=("",)
    ),
    "folder": Places(
        {"train": ("train",), "val": ("val", "validation"), "test": ("test",)},
        folders=("",),
    ),
}
