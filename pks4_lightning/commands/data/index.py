"""``pks4 data index``: decode every file once; write the manifest and the quarantine list."""

import argparse
import contextlib
import logging
import os
from dataclasses import replace
from pathlib import Path

from pks4_lightning.cli.data_settings import (
    add_data_arguments,
    data_of,
    manifest_of,
    read_splits,
)
from pks4_lightning.data.annotations.walking import walk
from pks4_lightning.data.inspection.index import index_files
from pks4_lightning.data.inspection.manifest import quarantine_path
from pks4_lightning.data.inspection.quarantine import manifest_paths

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)

EXAMPLE = """\
  pks4 data index /data/ssv2 --jobs 16       # interrupt it at will: it goes on
  pks4 data index /my/videos                 # any folder with videos"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The command's.
    """
    add_data_arguments(parser, example=EXAMPLE)
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes at work (%(default)s)"
    )
    parser.add_argument("--num_workers", type=int, dest="jobs", help=argparse.SUPPRESS)
    parser.add_argument(
        "--timeout", type=float, default=300.0,
        help="seconds after which a file is given up (%(default)g)",
    )  # fmt: skip
    for name, meaning in (
        ("all_files", "also videos that no annotation lists"),
        ("verify", "decode again what has not changed in size and time"),
        ("accept_changes", "take changed files for new ones, not for damaged ones"),
    ):
        parser.add_argument(f"--{name}", action="store_true", help=meaning)


def run(arguments: argparse.Namespace) -> None:
    """Index what is not indexed.

    Args:
        arguments: The command's.
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
        raise FileNotFoundError(f"There is no folder '{root}'; name the folder of the data set.")
    if not paths:
        logger.info("All videos below '%s', whether an annotation lists them or not.", root)
        walked = walk(root)
        paths = set(walked.clips)
        for remark in walked.unread_remarks():
            logger.warning("%s", remark)
    folders = {path for path in paths if (root / path).is_dir()}
    if folders:
        logger.info("%d folders of pictures are not indexed; reading them checks them.",
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
        "%d of %d files are whole; wrote %s and %s.",
        len(records) - len(bad), len(records), manifest, quarantine_path(manifest),
    )  # fmt: skip
