"""Jester: CSV files of ``id;gesture``, and one folder of JPEGs per video."""

from pks4_lightning.data.annotations.formats.ssv1 import read_ids
from pks4_lightning.data.annotations.record import DataFormat, Published

__all__ = ["JESTER"]

JESTER = DataFormat(
    name="jester",
    read=read_ids,
    recognises=lambda sniffed: sniffed.path.name.startswith("jester-v1-"),
    splits={
        "train": ("jester-v1-train.csv",),
        "val": ("jester-v1-validation.csv",),
        "test": ("jester-v1-test.csv",),
    },
    labels=("jester-v1-labels.csv",),
    needs_labels=True,
    videos=("20bn-jester-v1", "frames", ""),
    published=(Published("Jester", 27, {"train": 118_562, "val": 14_787, "test": 14_743}),),
)
