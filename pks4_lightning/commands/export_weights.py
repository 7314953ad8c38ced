"""``pks4 export-weights``: a checkpoint's weights as safetensors and JSON, to publish or to use."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.pretrained import ClipInput, save_weights
from pks4_lightning.training.checkpoints.reading import read_checkpoint

__all__ = ["add_arguments", "export_weights", "run"]

_PREFIX = "classifier."


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
        "example: pks4 export-weights runs/ssv2_b16_f8/checkpoints/best.ckpt --out ssv2_b16_f8"
    )
    parser.add_argument("checkpoint", type=Path, help="file that `pks4 fit` wrote")
    parser.add_argument("--out", type=Path, required=True, help="new or empty folder")


def run(arguments: argparse.Namespace) -> None:
    """Export a checkpoint.

    Args:
        arguments: The command's.
    """
    export_weights(arguments.checkpoint, arguments.out)
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
    content = read_checkpoint(checkpoint)
    data = content.get("config", {}).get("data", {})
    names = ("num_frames", "resize", "frame_size", "mean", "std")
    absent = [name for name in names if name not in data]
    if absent:
        raise ValueError(f"{checkpoint} does not say what {', '.join(absent)} of its clips were.")
    config = PKS4Config(**content["hyper_parameters"]["classifier"])
    save_weights(
        folder,
        # how it was trained is no part of what it is
        config=replace(config, pretrained=False, compile=False, gradient_checkpointing=False),
        weights={
            name.removeprefix(_PREFIX): tensor
            for name, tensor in content["state_dict"].items()
            if name.startswith(_PREFIX)
        },
        clip=ClipInput(
            label_names=list(content["label_names"]), **{name: data[name] for name in names}
        ),
    )
