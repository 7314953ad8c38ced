"""The command ``pks4``: finds the subcommand; what that needs is imported only then."""

import argparse
import sys
from importlib import import_module

from pks4_lightning import __version__

__all__ = ["main"]

_LIGHTNING = "pks4_lightning.cli.lightning_cli"

COMMANDS = {
    "fit": (_LIGHTNING, "train a classifier"),
    "validate": (_LIGHTNING, "one view per video on the validation split"),
    "test": (
        _LIGHTNING,
        "all views per video on the test split, one prediction each",
    ),
    "predict": (_LIGHTNING, "label your own videos"),
    "rescore": (
        "pks4_lightning.commands.rescore",
        "accuracy of any subset of a test's views, without a GPU",
    ),
    "export-weights": (
        "pks4_lightning.commands.export_weights",
        "a checkpoint's weights as safetensors and JSON, to publish or to use elsewhere",
    ),
    "ablate": ("pks4_lightning.commands.ablate", "the paper's ablations, Tables 5 to 9"),
    "cost": (
        "pks4_lightning.commands.cost",
        "parameters, FLOPs, memory and training compute; the paper's tables computed again",
    ),
    "stretch": (
        "pks4_lightning.commands.stretch",
        "one checkpoint at many lengths and resolutions: accuracy, GFLOPs, clips per second",
    ),
    "retrieve": (
        "pks4_lightning.commands.retrieve",
        "nearest neighbours of test videos among training videos, by a checkpoint's features",
    ),
    "data": ("pks4_lightning.commands.data", "index, check and show a data set"),
    "demo": ("pks4_lightning.commands.demo", "the whole job on a small embedded data set"),
    "demo-data": ("pks4_lightning.demo.motion.dataset", "only the demo's videos, in SSV2's format"),
}

EXAMPLES = """\
examples:
  pks4 fit --config configs/ssv2.yaml --data.root /data/ssv2
  pks4 test --ckpt_path runs/ssv2_b16_f8/checkpoints/best.ckpt
  pks4 predict --ckpt_path runs/ssv2_b16_f8/checkpoints/best.ckpt --data.predict clip.mp4
  pks4 fit --help                            # every setting, with its default
  pks4 fit --config configs/ssv2.yaml --print_config   # what a file and the options come to
"""


def main(argv: list[str] | None = None) -> int:
    """Run one ``pks4`` command.

    Args:
        argv: The arguments, the command first. ``None`` takes those of the process.

    Returns:
        The exit status: 0 on success, 1 if a run failed, 2 if the arguments were wrong.
    """
    arguments = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="pks4",
        description="PKS⁴ for video recognition: train, test and use a CLIP image encoder with "
        "one kinematic state space module.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pks4_lightning {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (_, description) in COMMANDS.items():
        commands.add_parser(name, help=description, add_help=False)
    command = arguments[0] if arguments else ""
    if command not in COMMANDS:
        parser.parse_args(arguments)  # prints the help or the version, or names the mistake
    module = import_module(COMMANDS[command][0])
    rest = arguments if COMMANDS[command][0] == _LIGHTNING else arguments[1:]
    status: int = module.main(rest)
    return status


if __name__ == "__main__":
    sys.exit(main())
