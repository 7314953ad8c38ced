"""The data set that a ``pks4 data`` command works on."""

import argparse
import logging
from pathlib import Path

from pks4_lightning.batch import Split
from pks4_lightning.cli.arguments import take_settings
from pks4_lightning.cli.settings import data_module, resolve
from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.data.datamodule import VideoDataModule
from pks4_lightning.data.inspection.manifest import default_manifest

__all__ = ["add_data_arguments", "data_of", "manifest_of", "read_splits"]

logger = logging.getLogger(__name__)

_SPLITS: tuple[Split, ...] = ("train", "val", "test")


def add_data_arguments(parser: argparse.ArgumentParser, *, example: str) -> None:
    """Add the folder of the data set, and accept training settings after it.

    Args:
        parser: The parser of the command.
        example: An example of its use.
    """
    parser.add_argument("root", nargs="?", help="folder of the data set; same as --data.root")
    parser.epilog = (
        f"examples:\n{example}\n"
        "Data settings of a training may follow: --config FILE and --data.KEY VALUE; "
        "`pks4 fit --help data` lists them."
    )
    take_settings(parser)


def data_of(arguments: argparse.Namespace, *, makes_clips: bool) -> VideoDataModule:
    """Return the data module that a command's arguments describe.

    Args:
        arguments: Arguments of a command with :func:`add_data_arguments`.
        makes_clips: Read size, mean and standard deviation of frames from the backbone if the
            settings leave them open. Not needed by commands that decode no clips.

    Raises:
        FileNotFoundError: If the backbone is needed and not found.
        ValueError: If no data set is given, or the arguments do not parse.
    """
    # No model is built, so its one required setting need not be given.
    given = ["--model.classifier.num_classes=1", *arguments.settings, "--data.num_workers=0"]
    if arguments.root is not None:
        given.append(f"--data.root={arguments.root}")
    data = data_module(resolve(given, looks_up=makes_clips))
    if data.root is None:
        raise ValueError(
            f"No data set is given: name its folder, as in pks4 {arguments.command} ROOT."
        )
    return data


def read_splits(data: VideoDataModule) -> tuple[dict[str, VideoList], list[str]]:
    """Read all splits that have annotations, once each, and the names of the classes.

    Args:
        data: From :func:`data_of`.
    """
    data.allow_missing = 1.0  # missing videos are to be reported, not refused
    layout = data.layout()
    splits: dict[str, VideoList] = {}
    absent: set[str] = set()  # if there is no test split, the message is that of validation again
    for split in _SPLITS:
        try:
            videos = layout.read(split)
        except FileNotFoundError as error:
            if str(error) not in absent:
                logger.info("%s", error)
            absent.add(str(error))
            continue
        if all(videos.source != other.source or videos != other for other in splits.values()):
            splits[split] = videos
    return splits, layout.label_names() if splits else []


def manifest_of(data: VideoDataModule) -> Path:
    """Return the path of a data set's manifest, whether it exists or not.

    Args:
        data: From :func:`data_of`.
    """
    return default_manifest(str(data.root)) if data.manifest is None else Path(data.manifest)
