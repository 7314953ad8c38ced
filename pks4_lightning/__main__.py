"""The command ``pks4``: finds the subcommand; what that needs is imported only then."""

import argparse
import logging
import os
import sys
from importlib import import_module

from pks4_lightning import __version__
from pks4_lightning.cli.arguments import CommandParser, parse_arguments
from pks4_lightning.cli.errors import ArgumentsError, user_error

__all__ = ["main"]

COMMANDS = {
    "fit": ("trainer", "train a classifier"),
    "validate": ("trainer", "one view per video on the validation split"),
    "test": ("trainer", "all views per video on the test split, one prediction each"),
    "predict": ("inference.predict", "label your own videos"),
    "rescore": ("rescore", "accuracy of any subset of a test's views, without a GPU"),
    "export-weights": (
        "sharing.export_weights",
        "a checkpoint's weights as safetensors and JSON, to publish or to use elsewhere",
    ),
    "export": (
        "sharing.export",
        "a classifier as an ONNX, torch or AOTInductor file that runs without this package",
    ),
    "share": (
        "sharing.share",
        "a classifier with its model card, into a folder or onto the Hugging Face hub",
    ),
    "ablate": ("ablate", "the paper's ablations, Tables 5 to 9"),
    "compare": ("compare", "PKS⁴ beside the methods that the paper compares it with, on one task"),
    "evidence": ("evidence", "PKS⁴'s parts on real pictures whose order decides"),
    "cost": (
        "cost",
        "parameters, FLOPs, memory and training compute; the paper's tables computed again",
    ),
    "stretch": (
        "stretch",
        "one checkpoint at many lengths and resolutions: accuracy, GFLOPs, clips per second",
    ),
    "retrieve": (
        "retrieve",
        "nearest neighbours of test videos among training videos, by a checkpoint's features",
    ),
    "configs": ("configs", "list, show and copy the configurations that come with the package"),
    "stream": ("inference.stream", "labels while a video runs: a file, a camera or an address"),
    "features": (
        "inference.features",
        "arrays of long videos for temporal detectors: a row per window, frame or grid of patches",
    ),
    "data index": (
        "data.index",
        "decode every file once; write the manifest and the quarantine list",
    ),
    "data check": (
        "data.check",
        "missing, damaged and duplicated videos, class counts, decoding speed; one picture",
    ),
    "data split": (
        "data.split",
        "deal videos without splits into training, validation and test, by class and group",
    ),
    "data groups": (
        "data.groups",
        "list a flat folder of videos by class and by scene, for cross-validation",
    ),
    "data show": ("data.show", "a contact sheet of what the model will see"),
    "tower fetch": ("tower_fetch", "an image transformer from the Hugging Face hub, into a folder"),
    "doctor": ("doctor", "what is wrong with this machine, and how it is mended"),
    "demo": ("demo", "the whole job on a small embedded data set"),
    "demo-data": ("demo_data", "only videos: the demo's, or the motion bench's, made of your own"),
}
"""Name of a command to its module in `commands`, which has two functions: `add_arguments(parser)`
and `run(arguments)`, which returns the exit status or None. What is wrong it raises."""

EXAMPLES = """\
examples:
  pks4 fit --config ssv2 --data.root /data/ssv2
  pks4 test --ckpt_path runs/ssv2_b16_f8/checkpoints/best.ckpt
  pks4 predict --ckpt_path runs/ssv2_b16_f8/checkpoints/best.ckpt clip.mp4
  pks4 fit --help                            # what is used first, and how to see the rest
  pks4 fit --config ssv2 --print_config      # what a file and the options come to
"""


def main(argv: list[str] | None = None) -> int:
    """Run one ``pks4`` command.

    Args:
        argv: The arguments, the command first. ``None`` takes those of the process.

    Returns:
        The exit status: 0 on success, 1 if a run failed, 2 if the arguments were wrong, 130 after
        an interruption; 143 and 75 if a run was stopped or stalled.
    """
    given = sys.argv[1:] if argv is None else argv
    name = next((name for name in COMMANDS if name.split() == given[: len(name.split())]), None)
    if name is None:
        is_group = any(name.startswith(f"{given[0]} ") for name in COMMANDS) if given else False
        group, rest = (f"{given[0]} ", given[1:]) if is_group else ("", given)
        _overview(group).parse_args(rest)  # prints the help or the version, or names the mistake
        return 2
    if sys.platform == "win32":
        sys.stderr.write(
            "pks4: error: pks4 runs on Linux and macOS; on Windows, run it in WSL "
            "(https://learn.microsoft.com/windows/wsl/install).\n"
        )
        return 1
    _set_logging()
    module, description = COMMANDS[name]
    parser = CommandParser(
        prog=f"pks4 {name}",
        description=f"{description[0].upper()}{description[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        conflict_handler="resolve",
        allow_abbrev=False,
    )
    parser.set_defaults(command=name)
    try:
        command = import_module(f"pks4_lightning.commands.{module}")
        command.add_arguments(parser)
        status: int | None = command.run(parse_arguments(parser, given[len(name.split()) :]))
    except KeyboardInterrupt:
        sys.stderr.write("pks4: interrupted; the same command goes on from what is finished.\n")
        return 130
    except Exception as error:
        sentence = user_error(error)
        if sentence is None:
            raise
        sys.stderr.write(f"pks4: error: {sentence}\n")
        return 2 if isinstance(error, ArgumentsError) else 1
    return status or 0


def _set_logging() -> None:
    """Let the package say on standard error what it does, the first of several ranks alone."""
    ours = logging.getLogger("pks4_lightning")
    is_first_rank = os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"
    ours.setLevel(logging.INFO if is_first_rank else logging.WARNING)
    # Not the root's: what Lightning says would come twice, for it sets up one of its own.
    if not ours.hasHandlers():
        ours.addHandler(logging.StreamHandler())


def _overview(group: str) -> CommandParser:
    """Return a parser whose help lists the commands, or those of a group."""
    parser = CommandParser(
        prog=f"pks4 {group}".strip(),
        description="PKS⁴ for video recognition: train, test and use a CLIP image encoder with "
        "one kinematic state space module.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pks4_lightning {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (_, meaning) in COMMANDS.items():
        if name.startswith(group):
            commands.add_parser(name.removeprefix(group), help=meaning, add_help=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
