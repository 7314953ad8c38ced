"""``pks4 export-weights``: write a checkpoint's weights as safetensors and JSON."""

import argparse
import sys
from pathlib import Path

from pks4_lightning.training.checkpoints.trained import read_trained, save_trained

__all__ = ["add_arguments", "export_weights", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command.
    """
    parser.description = (
        "Write the weights of a checkpoint as weights.safetensors, and everything else needed to "
        "classify a clip as classifier.json. Loading these files never executes code."
    )
    parser.epilog = (
        "example:\n  pks4 export-weights --ckpt_path runs/ssv2_b16_f8/checkpoints/best.ckpt "
        "--out ssv2_b16_f8"
    )
    parser.add_argument("--ckpt_path", type=Path, required=True, help="checkpoint of `pks4 fit`")
    parser.add_argument("--out", type=Path, required=True, help="output folder, new or empty")


def run(arguments: argparse.Namespace) -> None:
    """Export a checkpoint.

    Args:
        arguments: The parsed arguments of the command.
    """
    export_weights(arguments.ckpt_path, arguments.out)
    sys.stdout.write(f"Wrote {arguments.out}.\n")


def export_weights(checkpoint: Path, folder: Path) -> None:
    """Write the weights of a checkpoint into a folder, without the optimiser state.

    If averaged weights were kept, they are exported instead.

    Args:
        checkpoint: A file that `pks4 fit` wrote.
        folder: New, empty, or with only the unchanged files of an earlier export.

    Raises:
        FileExistsError: If the folder contains anything else.
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it cannot be read, or does not record how clips were made.
    """
    save_trained(folder, read_trained(checkpoint))
