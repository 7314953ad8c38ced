"""``pks4 data groups``: list clips by class and by scene, for cross-validation."""

import argparse
import logging
import re
import sys
from collections.abc import Sequence, Set
from pathlib import Path, PurePosixPath

from pks4_lightning.cli.arguments import RangeAction
from pks4_lightning.data.annotations.walking import find_videos
from pks4_lightning.data.inspection.scenes import describe_scene, group_scenes
from pks4_lightning.data.video.errors import VideoDecodeError
from pks4_lightning.data.video.video import Video
from pks4_lightning.files import write_csv
from pks4_lightning.suggestions import did_you_mean_path

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)

EXAMPLE = """\
examples:
  pks4 data groups EgoGestAR/testvideo --num_groups 30
  pks4 data groups EgoGestAR/testvideo --num_groups 20 --classes left right up down --out four.csv
Writes index.csv with the columns path, label and group into the folder. Videos are grouped by
their colours and where these are, so check the groups and correct the table by hand.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command.
    """
    parser.description = (
        "List the videos of a flat folder with the class in their name and a group per scene. "
        "Cross-validation holds out whole groups."
    )
    parser.epilog = EXAMPLE
    parser.add_argument("folder", type=Path, help="folder that holds the videos, at any depth")
    parser.add_argument(
        "--num_groups",
        action=RangeAction,
        type=int,
        least=1,
        required=True,
        help="number of scenes; when in doubt choose fewer",
    )
    parser.add_argument(
        "--classes", nargs="+", metavar="CLASS", help="only videos of these classes; default: all"
    )
    parser.add_argument(
        "--out",
        default="index.csv",
        metavar="TABLE",
        help="file to write within the folder (%(default)s)",
    )
    parser.add_argument(
        "--label",
        metavar="PATTERN",
        default=r"(?:.*_)?([^_]+)_\d+",
        help="regular expression for the file name without its suffix; its first group is the "
        "class (default: the word before the number, as in testvideo_left_3)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the table.

    Args:
        arguments: The parsed arguments of the command.

    Raises:
        FileExistsError: If the table already exists.
        FileNotFoundError: If the folder does not exist.
        ValueError: If the pattern is invalid, no name matches it, a class has no video, or there
            are too few videos.
    """
    folder, table = arguments.folder, arguments.folder / arguments.out
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder '{folder}'{did_you_mean_path(folder)}")
    if table.exists():
        raise FileExistsError(f"'{table}' already exists; move it away.")
    clips = _labelled(folder, arguments.label)
    if arguments.classes is not None:
        _require(arguments.classes, among={label for _, label in clips})
        clips = [clip for clip in clips if clip[1] in arguments.classes]
    lines, descriptions = [], []
    for path, label in clips:
        try:
            descriptions.append(describe_scene(Video(folder / path)))
        except VideoDecodeError as error:
            logger.warning("%s; it is skipped.", error)
            continue
        lines.append((path, label))
    groups = group_scenes(descriptions, arguments.num_groups)
    write_csv(
        table,
        ["path", "label", "group"],
        [(*line, group) for line, group in zip(lines, groups, strict=True)],
    )
    num_labels = len({label for _, label in lines})
    sys.stdout.write(
        f"{table}: {len(lines)} videos of {num_labels} classes in {max(groups)} groups\n"
    )


def _labelled(folder: Path, pattern: str) -> list[tuple[str, str]]:
    """Return the videos whose names match, and log how many do not."""
    try:
        name = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"--label {pattern} is not a regular expression: {error}.") from None
    if not name.groups:
        raise ValueError(f"--label {pattern} has no group in parentheses to capture the class.")
    videos = find_videos(folder)
    matches = [(video, name.fullmatch(PurePosixPath(video).stem)) for video in videos]
    clips = [(video, match[1]) for video, match in matches if match and match[1]]
    if not clips:
        raise ValueError(
            f"None of the names of the {len(videos)} videos in '{folder}' matches --label "
            f"{pattern}."
        )
    if len(clips) < len(videos):
        logger.warning(
            "%d videos have names that do not match --label and are skipped.",
            len(videos) - len(clips),
        )
    return clips


def _require(classes: Sequence[str], *, among: Set[str]) -> None:
    for name in classes:
        if name not in among:
            raise ValueError(
                f"There is no video of the class '{name}'; the classes are "
                f"{', '.join(sorted(among))}."
            )
