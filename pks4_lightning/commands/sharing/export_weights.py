"""``pks4 export-weights``: a checkpoint's weights as safetensors and JSON, to publish or to use."""

import argparse
import sys
from pathlib import Path

from pks4_lightning.cli.errors import ArgumentsError
from pks4_lightning.models.pretrained import save_weights
from pks4_lightning.training.checkpoints.trained import read_trained

__all__ = ["add_arguments", "export_weights", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The command's.
    """
    parser.description = (
        "Write the weights of a checkpoint as weights.safetensors, and what is needed to classify "
        "a clip with them as classifier.json. No file of the two can run code."
    )
    parser.epilog = (
        "example:\n  pks4 export-weights --ckpt_path runs/ssv2_b16_f8/checkpoints/best.ckpt "
        "--out ssv2_b16_f8"
    )
    parser.add_argument("--ckpt_path", type=Path, help="file that `pks4 fit` wrote")
    # until version 0.3, as it was before every command took --ckpt_path
    parser.add_argument("checkpoint", type=Path, nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, required=True, help="new or empty folder")


def run(arguments: argparse.Namespace) -> None:
    """Export a checkpoint.

    Args:
        arguments: The command's.
    """
    checkpoint = arguments.ckpt_path or arguments.checkpoint
    if checkpoint is None:
        raise ArgumentsError("Which checkpoint? --ckpt_path names it.")
    export_weights(checkpoint, arguments.out)
    sys.stdout.write(f"Wrote {arguments.out}.\n")


def export_weights(checkpoint: Path, folder: Path) -> None:
    """Write the weights of a checkpoint, without the state of its optimiser, into a folder.

    Where averaged weights were kept, these are exported.

    Args:
        checkpoint: A file that `pks4 fit` wrote.
        folder: New, empty, or with an earlier export.

    Raises:
        FileExistsError: If the folder holds anything else.
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it cannot be read, or does not say how clips were made.
    """
    trained = read_trained(checkpoint)
    save_weights(folder, config=trained.config, weights=trained.weights, clip=trained.clip)
