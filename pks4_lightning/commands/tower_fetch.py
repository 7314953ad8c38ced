"""``pks4 tower fetch``: an image transformer of the Hugging Face hub, into a folder."""

import argparse
import sys
from pathlib import Path

from pks4_lightning.models.towers.fetch import fetch

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The command's.
    """
    parser.description = (
        "Download the files of an image transformer that a training reads: its description, its "
        "preprocessor file and its weights. Take the folder to a machine without a network and "
        "name it there: --model.classifier.backbone FOLDER."
    )
    parser.epilog = (
        "example: pks4 tower fetch google/siglip2-base-patch16-224 --out towers/siglip2_b16"
    )
    parser.add_argument("id", help="hub id, such as facebook/dinov2-with-registers-base")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where to")


def run(arguments: argparse.Namespace) -> None:
    """Download.

    Args:
        arguments: The command's.
    """
    family = fetch(arguments.id, arguments.out)
    sys.stdout.write(
        f"{arguments.out} holds {arguments.id} ({family}): "
        f"--model.classifier.backbone {arguments.out}\n"
    )
