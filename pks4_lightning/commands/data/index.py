"""``pks4 data index``: decode every file once and write the manifest and the quarantine list."""

import argparse
import contextlib
import logging
from dataclasses import replace
from pathlib import Path

from pks4_lightning.cli.arguments import RangeAction
from pks4_lightning.commands.data.settings import (
    add_data_arguments,
    data_of,
    manifest_of,
    read_splits,
)
from pks4_lightning.cores import num_cores
from pks4_lightning.data.annotations.walking import walk
from pks4_lightning.data.inspection.index import index_files
from pks4_lightning.data.inspection.manifest import quarantine_path
from pks4_lightning.data.inspection.quarantine import manifest_paths
from pks4_lightning.suggestions import did_you_mean_path

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)

EXAMPLE = """\
  pks4 data index /data/ssv2 --jobs 16       # can be interrupted and continued at any time
  pks4 data index /my/videos                 # any folder of videos"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command.
    """
    add_data_arguments(parser, example=EXAMPLE)
    parser.add_argument(
        "--jobs", action=RangeAction, type=int, least=1, default=num_cores(),
        help="worker processes (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", action=RangeAction, type=float, above=0, default=300.0,
        help="seconds after which to give up on a file (%(default)g)",
    )  # fmt: skip
    for name, meaning in (
        ("all_files", "include videos that no annotation lists"),
        ("verify", "decode all files again, even if size and time have not changed"),
        ("accept_changes", "treat changed files as new, not as damaged"),
    ):
        parser.add_argument(f"--{name}", action="store_true", help=meaning)


def run(arguments: argparse.Namespace) -> None:
    """Index all files that are not indexed yet.

    Args:
        arguments: The parsed arguments of the command.
    """
    data = data_of(arguments, makes_clips=False)
    root = Path(str(data.root)).expanduser()
    paths: set[str] = set()
    if not arguments.all_files:
        with contextlib.suppress(FileNotFoundError):
            splits, _ = read_splits(data)
            for videos in splits.values():
                absent = replace(videos, paths=videos.missing)
                paths |= {*manifest_paths(videos, str(root)), *manifest_paths(absent, str(root))}
    if not root.is_dir():
        raise FileNotFoundError(
            f"There is no folder '{root}'"
            + did_you_mean_path(root, "name the folder of the data set")
        )
    if not paths:
        logger.info("Indexing all videos below '%s', whether annotations list them or not.", root)
        walked = walk(root)
        paths = set(walked.clips)
        for remark in walked.unread_remarks():
            logger.warning("%s", remark)
    folders = {path for path in paths if (root / path).is_dir()}
    if folders:
        logger.info("%d folders of pictures are not indexed; they are checked when they are read.",
                    len(folders))  # fmt: skip
    manifest = manifest_of(data)
    records = index_files(
        root,
        paths - folders,
        manifest,
        num_workers=arguments.jobs,
        timeout=arguments.timeout,
        verify=arguments.verify,
        accept_changes=arguments.accept_changes,
    )
    bad = [record for record in records if record.status != "ok"]
    for record in bad[:10]:
        logger.info("%s: %s (%s)", record.path, record.reason, record.status)
    logger.info(
        "%d of %d files are intact; wrote %s and %s.",
        len(records) - len(bad), len(records), manifest, quarantine_path(manifest),
    )  # fmt: skip
