"""Diving-48: JSON, a list of ``{"vid_name", "label", ...}``, and ``Diving48_vocab.json``."""

import re

from pks4_lightning.data.annotations.entry import (
    Entry,
    read_objects,
    relative_path,
    text_of,
)
from pks4_lightning.data.annotations.paths import shortened
from pks4_lightning.data.annotations.record import DataFormat, Part, Published

__all__ = ["DIVING48"]


def read_diving48(part: Part) -> list[Entry]:
    """Read the list of ``{"vid_name", "label", "start_frame", "end_frame"}``.

    The videos are already cut to single dives, so all frames of a file are used.

    Args:
        part: Such as ``Diving48_V2_train.json``.

    Raises:
        ValueError: If it is not a list of objects with a video and an integer label.
    """
    entries = []
    for number, video in enumerate(read_objects(part.source), start=1):
        name = text_of(video, "vid_name", part.source, number)
        label, place = video.get("label"), f"entry {number}"
        if isinstance(label, bool) or not isinstance(label, int):
            raise ValueError(
                f"'{part.source}' gives '{name}' the label {shortened(repr(label))}; Diving-48's "
                "labels are integers from 0."
            )
        entries.append(Entry(relative_path(name, part.source, place), str(label), place))
    return entries


DIVING48 = DataFormat(
    name="diving48",
    read=read_diving48,
    recognises=lambda sniffed: (
        sniffed.is_json
        and re.match(r'\s*\[\s*\{[^}]*"vid_name"\s*:', sniffed.beginning) is not None
    ),
    splits={"train": ("Diving48_V2_train.json",), "test": ("Diving48_V2_test.json",)},
    labels=("Diving48_vocab.json",),
    videos=("rgb", "Diving48_rgb/rgb", "videos", ""),
    published=(Published("Diving-48 V2", 48, {"train": 15_027, "val": 1_970}),),
)
