"""Annotations in JSON: Something-Something V2, Diving-48 and COIN."""

from pathlib import Path
from typing import Any

from pks4_lightning.data.annotations.formats.entry import (
    Entry,
    Split,
    read_json,
    relative_path,
    split_of,
)
from pks4_lightning.data.annotations.labels import plain_template

__all__ = ["coin_label_names", "read_coin", "read_diving48", "read_ssv2"]


def read_ssv2(source: Path) -> list[Entry]:
    """Read Something-Something V2's list of ``{"id", "template", ...}``.

    The test split is published without templates; its entries have no label.

    Args:
        source: Such as ``something-something-v2-train.json``.

    Raises:
        ValueError: If it is no list of objects with an id each.
    """
    entries = []
    for number, video in enumerate(_list(source), start=1):
        identity = _text_of(video, "id", source, number)
        label = video.get("template", video.get("label"))
        label = None if label is None else plain_template(str(label))
        place = f"id {identity}"
        entries.append(Entry(relative_path(identity, source, place), label, place))
    return entries


def read_diving48(source: Path) -> list[Entry]:
    """Read Diving-48's list of ``{"vid_name", "label", "start_frame", "end_frame"}``.

    The videos are cut to the dives already, so the frames are those of the whole file.

    Args:
        source: Such as ``Diving48_V2_train.json``.

    Raises:
        ValueError: If it is no list of objects with a video and a whole number as label.
    """
    entries = []
    for number, video in enumerate(_list(source), start=1):
        name = _text_of(video, "vid_name", source, number)
        label = video.get("label")
        if isinstance(label, bool) or not isinstance(label, int):
            raise ValueError(f"'{source}' gives '{name}' the label {label!r}; Diving-48's labels "
                             "are whole numbers from 0.")  # fmt: skip
        entries.append(
            Entry(relative_path(name, source, f"entry {number}"), str(label), f"entry {number}")
        )
    return entries


def read_coin(source: Path, split: Split) -> list[Entry]:
    """Read COIN's ``{"database": {id: {"class", "recipe_type", "subset", ...}}}``.

    Its videos are labelled with their task and taken whole; its testing subset is what papers
    report on, so it serves for validation as well.

    Args:
        source: ``COIN.json``.
        split: Which of its subsets.

    Raises:
        ValueError: If an entry has no class, or a subset of another name.
    """
    entries = []
    wanted = "train" if split == "train" else "test"
    for identity, video in _database(source).items():
        subset = split_of(video.get("subset"))
        if subset not in ("train", "test"):
            raise ValueError(
                f"'{source}' puts '{identity}' into the subset {video.get('subset')!r}; COIN's "
                "are training and testing."
            )
        if subset == wanted:
            place = f"id {identity}"
            entries.append(Entry(relative_path(identity, source, place), video["class"], place))
    return entries


def coin_label_names(source: Path) -> list[str]:
    """Return COIN's tasks in the order of their ``recipe_type``, both subsets taken together.

    Args:
        source: ``COIN.json``.

    Raises:
        ValueError: If a number stands for two tasks, or a task has two numbers.
    """
    number_of: dict[str, int] = {}
    for identity, video in _database(source).items():
        number = video.get("recipe_type")
        if not isinstance(number, int) or number_of.setdefault(video["class"], number) != number:
            raise ValueError(
                f"'{source}' gives the class '{video['class']}' the recipe_type {number!r} at id "
                f"{identity}; every class has one number."
            )
    if len(set(number_of.values())) < len(number_of):
        raise ValueError(f"'{source}' gives two classes the same recipe_type.")
    return sorted(number_of, key=number_of.__getitem__)


def _list(source: Path) -> list[Any]:
    content = read_json(source)
    if not isinstance(content, list):
        raise ValueError(f"'{source}' must be a JSON list of videos, one object with an id each.")
    return content


def _text_of(video: Any, key: str, source: Path, number: int) -> str:
    if not isinstance(video, dict) or not str(video.get(key, "")).strip():
        raise ValueError(f"'{source}' has no '{key}' in its entry number {number}.")
    return str(video[key])


def _database(source: Path) -> dict[str, dict[str, Any]]:
    content = read_json(source)
    database = content.get("database") if isinstance(content, dict) else None
    if not isinstance(database, dict):
        raise ValueError(f"'{source}' has no 'database' of videos, as COIN.json has.")
    for identity, video in database.items():
        if not isinstance(video, dict) or not isinstance(video.get("class"), str):
            raise ValueError(f"'{source}' gives '{identity}' no class.")
    return database
