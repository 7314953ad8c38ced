"""``pks4 data split``: split videos into training, validation and test sets."""

import argparse
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pks4_lightning.batch import Split
from pks4_lightning.commands.data.settings import add_data_arguments, data_of
from pks4_lightning.data.annotations.entry import Entry, relative_path
from pks4_lightning.data.annotations.formats.tables import read_table
from pks4_lightning.data.annotations.layout import DataLayout
from pks4_lightning.data.annotations.splitting import deal_into_splits
from pks4_lightning.files import write_csv

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)

EXAMPLE = """\
  pks4 data split /my/videos                     # /my/videos/CLASS/*.mp4
  pks4 data split /my/videos --group folder      # CLASS/PERSON/*.mp4: each person in one split
  pks4 data split /my/videos --data.train clips.csv --group person --val 0.2 --test 0.2"""
LABELS = "labels.csv"
SPLITS: tuple[Split, ...] = ("train", "val", "test")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command.
    """
    add_data_arguments(parser, example=EXAMPLE)
    parser.add_argument(
        "--val", type=float, default=0.1, help="share of the videos for validation (%(default)g)"
    )
    parser.add_argument(
        "--test", type=float, default=0.1,
        help="share of the videos for testing (%(default)g); 0: tests use the validation split",
    )  # fmt: skip
    parser.add_argument(
        "--group", metavar="folder|COLUMN",
        help="keep videos together that lie in a folder of the same name below the class folders, "
        "or have the same value in this column of the table",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="seed of the random split")


def run(arguments: argparse.Namespace) -> None:
    """Write ``train.csv``, ``val.csv``, ``test.csv`` and ``labels.csv`` into the root.

    Args:
        arguments: The parsed arguments of the command.

    Raises:
        FileExistsError: If one of them already exists.
        ValueError: If shares or groups do not allow a split, or the data set already has splits
            or times within videos.
    """
    shares = _shares(arguments.val, arguments.test)
    layout = data_of(arguments, makes_clips=False).layout()
    root = layout.root
    for name in (*(f"{split}.csv" for split in SPLITS), LABELS):
        if (root / name).exists():
            raise FileExistsError(
                f"'{root / name}' already exists; move it away, or give the list that you want to "
                "split another name (--data.train LIST)."
            )
    if not layout.is_named("train"):
        _refuse_splits(layout)
        arguments.settings = [*arguments.settings, "--data.train=."]
        layout = data_of(arguments, makes_clips=False).layout()
    source, record, _ = layout.source("train")
    if not record.is_anybodys:
        raise ValueError(f"'{source}' is read as {record.name}, which already has splits.")
    entries, classes = layout.entries("train"), layout.classes()
    if any(entry.span for entry in entries):
        raise ValueError(
            f"'{source}' gives times within videos, which the lists of this command cannot hold; "
            "divide it yourself, and name the parts with --data.train and --data.val."
        )
    if entries[0].split and len(entries) < (num_rows := len(read_table(source)[1])):
        raise ValueError(
            f"'{source}' already has splits, and {num_rows - len(entries)} of its {num_rows} rows "
            "are not of the training split; to split all of them anew, remove or rename the column "
            "that names the splits."
        )
    indices = classes.indices(entries, source, are_numbers=not record.labels_are_names)
    labels = [classes.names[index] for index in indices]
    groups = _groups(entries, source, arguments.group, has_class_folders=record.is_folder)
    splits = deal_into_splits(labels, groups, shares, seed=arguments.seed)
    folder = _folder_of_videos(source, root) if record.is_folder else Path()
    paths = [_listed(folder, entry, source) for entry in entries]
    write_csv(root / LABELS, ["id", "name"], list(enumerate(classes.names)))
    for split in shares:
        lines = [
            [path, label]
            for path, label, chosen in zip(paths, labels, splits, strict=True)
            if chosen == split
        ]
        write_csv(root / f"{split}.csv", ["path", "label"], lines)
    _report(labels, groups, splits, list(shares), root)


def _refuse_splits(layout: DataLayout) -> None:
    """Refuse a root in which a training would find splits; they would be taken for classes."""
    for split in SPLITS:
        try:
            source, record, _ = layout.source(split)
        except FileNotFoundError:
            continue
        named = f"--data.train {source.relative_to(layout.root)}"
        raise ValueError(
            f"'{layout.root}' already has splits: '{source}' is read as its {split} split "
            f"({record.name}); name what is to be split, with {named}, or with --data.train . if "
            "each folder is a class."
        )


def _shares(val: float, test: float) -> dict[Split, float]:
    """Return the share of every non-empty split."""
    if not (0 < val < 1 and 0 <= test < 1 and val + test < 1):
        raise ValueError(
            f"--val {val:g} and --test {test:g} are not valid shares: validation needs some of the "
            "videos, and some must be left for training."
        )
    shares: dict[Split, float] = {"train": 1 - val - test, "val": val, "test": test}
    return {split: share for split, share in shares.items() if share}


def _folder_of_videos(source: Path, root: Path) -> Path:
    """Return the path of the class folders, relative to the root."""
    if not source.is_relative_to(root):
        raise ValueError(
            f"'{source}' is not below '{root}', where the lists would be written; name a folder "
            "that holds both."
        )
    return source.relative_to(root)


def _listed(folder: Path, entry: Entry, source: Path) -> str:
    """Return a video's path in the form that a list is read back in."""
    path = folder / entry.video
    if path.is_absolute():
        return str(path)
    # without "./", a path that begins with # would be read as a comment
    return f"./{relative_path(path.as_posix(), source, entry.place)}"


def _groups(
    entries: Sequence[Entry], source: Path, group: str | None, *, has_class_folders: bool
) -> list[str]:
    """Return the group of every video; a video without a group forms its own."""
    alone = [f"\0{entry.video}" for entry in entries]
    if group is None:
        return alone
    if group == "folder":
        folders = [PurePosixPath(entry.video).parts[:-1][has_class_folders:] for entry in entries]
        if not any(folders):
            raise ValueError(f"--group folder groups by folders below the class folders, but no "
                             f"video of '{source}' lies in one.")  # fmt: skip
        return [
            (folder[0] if has_class_folders else "/".join(folder)) if folder else own
            for folder, own in zip(folders, alone, strict=True)
        ]
    if source.is_dir():
        raise ValueError(f"--group {group} names a column, but '{source}' is a folder; its videos "
                         "can be grouped with --group folder.")  # fmt: skip
    columns, rows = read_table(source)
    if group.casefold() not in columns:
        raise ValueError(f"'{source}' has no column '{group}' to group by; its columns are "
                         f"{', '.join(columns)}.")  # fmt: skip
    group_of = {f"line {number}": row[group.casefold()] for number, row in rows}
    return [group_of[entry.place] or own for entry, own in zip(entries, alone, strict=True)]


def _report(
    labels: Sequence[str],
    groups: Sequence[str],
    splits: Sequence[Split],
    wanted: Sequence[Split],
    root: Path,
) -> None:
    num_videos = Counter(splits)
    num_groups = Counter(split for _, split in set(zip(groups, splits, strict=True)))
    has = set(zip(labels, splits, strict=True))
    for split in wanted:
        absent = sorted({label for label in labels if (label, split) not in has})
        named = ", ".join(f"'{label}'" for label in absent[:3])
        lacks = f", no video of {len(absent)} classes, such as {named}" if absent else ""
        of_groups = f" in {num_groups[split]} groups" if len(set(groups)) < len(groups) else ""
        logger.info("%s.csv: %d videos%s%s", split, num_videos[split], of_groups, lacks)
    logger.info("Wrote the lists to %s; pks4 fit --data.root %s finds them.", root, root)
