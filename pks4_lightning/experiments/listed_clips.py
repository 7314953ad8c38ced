"""The clips of a table, under the paths and classes by which trainings report them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pks4_lightning.cli.settings import Settings
from pks4_lightning.data.annotations.entry import Entry
from pks4_lightning.data.annotations.layout import DataLayout
from pks4_lightning.data.annotations.reading import refuse_repeated
from pks4_lightning.experiments.folds import GroupedClip, read_clips

__all__ = ["as_reported", "listed_clips"]


def listed_clips(settings: Settings) -> list[GroupedClip]:
    """Read the table of clips and groups that ``data.train`` names.

    Args:
        settings: The result of :func:`~pks4_lightning.cli.settings.resolve`.

    Returns:
        The clips as :func:`as_reported` gives them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the settings name no table, the file is not such a table, or a clip is
            refused by :func:`as_reported`.
    """
    data = settings["data"]
    if data["train"] is None:
        raise ValueError(
            "Folds are made of clips in groups: set --data.train to a table with the columns path, "
            "label and group."
        )
    return as_reported(read_clips(Path(data["root"], data["train"])), settings)


def as_reported(clips: Sequence[GroupedClip], settings: Settings) -> list[GroupedClip]:
    """Replace paths and labels by the files on disk and the names of the classes.

    A table may write both in other ways: paths without a suffix, labels as numbers or in another
    case. A training reports its predictions by file and class name.

    Args:
        clips: The clips of the table that ``data.train`` names.
        settings: The result of :func:`~pks4_lightning.cli.settings.resolve`.

    Returns:
        The same clips. Paths are relative to the folder of the videos; that of a clip that is
        missing on disk stays as it is written.

    Raises:
        FileNotFoundError: If ``data.labels`` or ``data.videos`` does not exist.
        ValueError: If a label denotes no class, a path leads out of the folder of the videos, or
            two paths denote the same video.
    """
    data = settings["data"]
    layout = DataLayout(
        data["root"],
        annotation_format="csv",
        train=data["train"],
        labels=data["labels"],
        videos=data["videos"],
    )
    source = layout.source("train").path
    entries = [
        Entry(clip.path, clip.label, f"entry {number}") for number, clip in enumerate(clips, 1)
    ]
    layout.replace_entries("train", entries)  # all of them, whatever a column `split` says
    classes = layout.classes()
    labels = classes.indices(entries, source, are_numbers=True)
    found = layout.located("train").paths
    paths = [_listed(path or clip.path) for path, clip in zip(found, clips, strict=True)]
    refuse_repeated(paths, entries, source)
    return [
        replace(clip, path=path, label=classes.names[label])
        for clip, path, label in zip(clips, paths, labels, strict=True)
    ]


def _listed(path: str) -> str:
    """Return a path as a table must list it: lines that begin with # are comments."""
    return f"./{path}" if path.startswith("#") else path
