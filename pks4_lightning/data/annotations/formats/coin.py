"""COIN: ``COIN.json``, ``{"database": {ID: {"class", "recipe_type", "subset", ...}}}``."""

import re
from pathlib import Path
from typing import Any

from pks4_lightning.data.annotations.entry import (
    Entry,
    read_json,
    relative_path,
    split_of,
)
from pks4_lightning.data.annotations.locating import by_file_name
from pks4_lightning.data.annotations.paths import shortened
from pks4_lightning.data.annotations.record import DataFormat, Part, Published

__all__ = ["COIN"]


def read_coin(part: Part) -> list[Entry]:
    """Read the videos of a subset as whole videos, labelled with their task.

    Papers report results on the testing subset, so it is used for validation as well.

    Args:
        part: ``COIN.json``.

    Raises:
        ValueError: If an entry has no class, or an unknown subset.
    """
    source = part.source
    entries = []
    wanted = "train" if part.split == "train" else "test"
    for identity, video in _database(source).items():
        subset = split_of(video.get("subset"))
        if subset not in ("train", "test"):
            raise ValueError(
                f"'{source}' lists '{identity}' in the subset "
                f"{shortened(repr(video.get('subset')))}; COIN's subsets are training and testing."
            )
        if subset == wanted:
            place = f"id {identity}"
            entries.append(Entry(relative_path(identity, source, place), video["class"], place))
    return entries


def coin_label_names(source: Path) -> list[str]:
    """Return the tasks of both subsets, in the order of their ``recipe_type``.

    Args:
        source: ``COIN.json``.

    Raises:
        ValueError: If two tasks share a number, or a task has two numbers.
    """
    number_of: dict[str, int] = {}
    for identity, video in _database(source).items():
        number = video.get("recipe_type")
        if (
            not isinstance(number, int)
            or isinstance(number, bool)
            or number_of.setdefault(video["class"], number) != number
        ):
            raise ValueError(
                f"'{source}' gives the class '{video['class']}' the recipe_type "
                f"{shortened(repr(number))} in the entry '{identity}'; every class must have "
                "exactly one number."
            )
    if len(set(number_of.values())) < len(number_of):
        raise ValueError(f"'{source}' gives the same recipe_type to two classes.")
    return sorted(number_of, key=number_of.__getitem__)


def _database(source: Path) -> dict[str, dict[str, Any]]:
    content = read_json(source)
    database = content.get("database") if isinstance(content, dict) else None
    if not isinstance(database, dict):
        raise ValueError(f"'{source}' has no 'database' of videos; COIN.json has one.")
    for identity, video in database.items():
        if not isinstance(video, dict) or not isinstance(video.get("class"), str):
            raise ValueError(f"'{source}' gives no class for '{identity}'.")
    return database


COIN = DataFormat(
    name="coin",
    read=read_coin,
    recognises=lambda sniffed: (
        sniffed.is_json and re.match(r'\s*\{\s*"database"\s*:', sniffed.beginning) is not None
    ),
    splits={"train": ("COIN.json",), "test": ("COIN.json",)},
    label_names=coin_label_names,
    videos=("videos", ""),
    locate=by_file_name(lambda entries: [[entry.video] for entry in entries]),
    published=(Published("COIN", 180, {"train": 9_030, "val": 2_797}, exact=False),),
)
