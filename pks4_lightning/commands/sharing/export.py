"""``pks4 export``: write a classifier as a file that other programs run, and verify it."""

import argparse
import sys
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command.
    """
    parser.description = (
        "Write a classifier as a file that runs without this package: the model, labels.txt, "
        "preprocessing.json and run.py, a script that labels videos. The exported model is "
        "compared with the classifier (parity.json); if a logit differs by more than 0.0001, the "
        "command fails and writes nothing."
    )
    parser.epilog = (
        "example:\n  pks4 export --ckpt_path runs/ssv2_b16_f8/checkpoints/best.ckpt --to onnx "
        "--out ssv2_onnx\n  python ssv2_onnx/run.py clip.mp4\n"
        "  pks4 export --ckpt_path runs/causal/checkpoints/best.ckpt --step --to onnx --out step"
    )
    parser.add_argument(
        "--ckpt_path",
        type=Path,
        required=True,
        help="checkpoint of `pks4 fit`, or folder of `pks4 export-weights`",
    )
    parser.add_argument(
        "--to",
        choices=("onnx", "torch", "aoti"),
        required=True,
        help="an ONNX file, a torch.export program, or a library compiled by AOTInductor (minutes)",
    )
    parser.add_argument(
        "--step",
        action="store_true",
        help="export the streaming step of a causal classifier: from the next frame and a state "
        "to logits and the next state",
    )
    parser.add_argument("--out", type=Path, required=True, help="new or empty folder")


def run(arguments: argparse.Namespace) -> None:
    """Export a checkpoint.

    Args:
        arguments: The parsed arguments of the command.
    """
    from pks4_lightning.export.folder import export_classifier
    from pks4_lightning.training.checkpoints.trained import read_trained

    trained = read_trained(arguments.ckpt_path)
    difference = export_classifier(trained, arguments.out, to=arguments.to, step=arguments.step)
    sys.stdout.write(f"Wrote {arguments.out}; its logits differ by at most {difference:.1e}.\n")
