"""``pks4 tower fetch``: download an image transformer from the Hugging Face hub."""

import argparse
import sys
from pathlib import Path

from pks4_lightning.models.towers.fetch import fetch

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command.
    """
    parser.description = (
        "Download the files of an image transformer that a training needs: its configuration, its "
        "preprocessor file and its weights. On a machine without a network, use a copy of the "
        "folder with --model.classifier.backbone FOLDER."
    )
    parser.epilog = (
        "example: pks4 tower fetch google/siglip2-base-patch16-224 --out towers/siglip2_b16"
    )
    parser.add_argument("id", help="hub id, such as facebook/dinov2-with-registers-base")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder to write")


def run(arguments: argparse.Namespace) -> None:
    """Download the files.

    Args:
        arguments: The parsed arguments of the command.
    """
    family = fetch(arguments.id, arguments.out)
    sys.stdout.write(
        f"{arguments.out} holds {arguments.id} ({family}): "
        f"--model.classifier.backbone {arguments.out}\n"
    )
