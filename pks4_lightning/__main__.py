"""Entry point of the ``pks4`` command; imports only what the chosen subcommand needs."""

import argparse
import logging
import os
import select
import sys
from importlib import import_module
from typing import Any

from pks4_lightning import __version__
from pks4_lightning.cli.arguments import CommandParser, parse_arguments
from pks4_lightning.cli.errors import ArgumentsError, user_error

__all__ = ["main"]

COMMANDS = {
    "fit": ("trainer", "train a classifier"),
    "validate": ("trainer", "score the validation split, one view per video"),
    "test": ("trainer", "score the test split, averaging all views of a video"),
    "predict": ("inference.predict", "label your own videos"),
    "rescore": (
        "rescore",
        "recompute a test's accuracy for any subset of its views, without a GPU",
    ),
    "export-weights": (
        "sharing.export_weights",
        "write a checkpoint's weights as safetensors and JSON, to publish or use elsewhere",
    ),
    "export": (
        "sharing.export",
        "write a classifier as an ONNX, torch or AOTInductor file that runs without this package",
    ),
    "share": (
        "sharing.share",
        "publish a classifier with its model card in a folder or on the Hugging Face hub",
    ),
    "app": ("sharing.app", "try a model in the browser: drop a video or record one"),
    "ablate": ("ablate", "run the paper's ablations, Tables 5 to 9"),
    "compare": ("compare", "train PKS⁴ and the methods the paper compares it with on one task"),
    "evidence": ("evidence", "test each part of PKS⁴ on real images whose order matters"),
    "cost": (
        "cost",
        "compute parameters, FLOPs, memory and training compute, or recompute the paper's tables",
    ),
    "stretch": (
        "stretch",
        "measure one checkpoint at many lengths and resolutions: accuracy, GFLOPs, clips/s",
    ),
    "retrieve": (
        "retrieve",
        "find the training videos nearest to each test video in a checkpoint's feature space",
    ),
    "configs": ("configs", "list, show and copy the configurations that come with the package"),
    "stream": ("inference.stream", "label a file, a camera or a network stream while it plays"),
    "features": (
        "inference.features",
        "extract features of long videos for temporal detectors, per window, frame or patch grid",
    ),
    "data index": (
        "data.index",
        "decode every file once and write the manifest and the quarantine list",
    ),
    "data check": (
        "data.check",
        "report missing, damaged and duplicate videos, class counts and decoding speed",
    ),
    "data split": (
        "data.split",
        "split videos into training, validation and test sets, by class and group",
    ),
    "data groups": (
        "data.groups",
        "list a flat folder of videos by class and by scene, for cross-validation",
    ),
    "data show": ("data.show", "draw a contact sheet of what the model will see"),
    "tower fetch": ("tower_fetch", "download an image transformer from the Hugging Face hub"),
    "doctor": ("doctor", "check this machine and suggest a fix for each problem"),
    "demo": ("demo", "train and test PKS⁴ and a baseline on small generated videos"),
    "demo-data": (
        "demo_data",
        "generate the demo's videos, or the motion bench from videos of yours",
    ),
}
"""Maps each command to its module in `commands` and its description. The module defines
`add_arguments(parser)` and `run(arguments)`; `run` returns the exit status or None, and raises
an exception on failure."""

EXAMPLES = """\
examples:
  pks4 fit --config ssv2 --data.root /data/ssv2
  pks4 test --ckpt_path runs/ssv2_b16_f8/checkpoints/best.ckpt
  pks4 predict --ckpt_path runs/ssv2_b16_f8/checkpoints/best.ckpt clip.mp4
  pks4 fit --help                            # common options, and how to list the rest
  pks4 fit --config ssv2 --print_config      # the resulting configuration
"""


def main(argv: list[str] | None = None) -> int:
    """Run one ``pks4`` command.

    Args:
        argv: The command and its arguments. ``None`` reads them from ``sys.argv``.

    Returns:
        The exit status: 0 on success, 1 if a run failed, 2 if the arguments were wrong, 130 after
        Ctrl-C, 143 if a run was stopped by a signal, 75 if it stalled, 141 if the program that
        reads its output, such as ``head``, has ended.
    """
    try:
        try:
            return _run(sys.argv[1:] if argv is None else argv)
        finally:
            if sys.stdout is not None:  # closed by the caller
                sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_has_left():
            raise
        # what is left in the buffer would raise the error again at the interpreter's exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _run(given: list[str]) -> int:
    """Run one command; see :func:`main`."""
    name = next((name for name in COMMANDS if name.split() == given[: len(name.split())]), None)
    if name is None:
        is_group = any(name.startswith(f"{given[0]} ") for name in COMMANDS) if given else False
        group, rest = (f"{given[0]} ", given[1:]) if is_group else ("", given)
        _overview(group).parse_args(rest)  # prints help or version, or exits with an error
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
        again = " with --resume" if parser.get_default("resume") is not None else ""
        sys.stderr.write(f"pks4: interrupted; run the same command again{again} to continue.\n")
        return 130
    except Exception as error:
        sentence = None if isinstance(error, BrokenPipeError) else user_error(error)
        if sentence is None:
            raise
        sys.stderr.write(f"pks4: error: {sentence}\n")
        return 2 if isinstance(error, ArgumentsError) else 1
    return status or 0


def _reader_has_left() -> bool:
    """Return whether standard output is a pipe that nobody reads; other pipes may break as well."""
    poll = select.poll()
    poll.register(sys.stdout, 0)  # reports errors alone
    return bool(poll.poll(0))


def _set_logging() -> None:
    """Log the package's progress to standard error, on the first rank only."""
    ours = logging.getLogger("pks4_lightning")
    is_first_rank = os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"
    ours.setLevel(logging.INFO if is_first_rank else logging.WARNING)
    # Configure our logger, not the root: Lightning has a handler of its own, and its messages
    # would appear twice.
    if not ours.hasHandlers():
        ours.addHandler(logging.StreamHandler())


def _overview(group: str) -> CommandParser:
    """Return a parser whose help lists the commands, or those of a group."""
    parser = CommandParser(
        prog=f"pks4 {group}".strip(),
        description="PKS⁴ for video recognition: train, test and use an image transformer with "
        "one kinematic state space module.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pks4_lightning {__version__}")
    parser.add_argument(
        "--print_shtab",
        action=_PrintCompletion,
        metavar="SHELL",
        help="print a completion script for bash or zsh (needs shtab)",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (_, meaning) in COMMANDS.items():
        if name.startswith(group):
            commands.add_parser(name.removeprefix(group), help=meaning, add_help=False)
    return parser


class _PrintCompletion(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,  # noqa: ARG002 - argparse's
        values: Any,
        option_string: str | None = None,  # noqa: ARG002 - the same
    ) -> None:
        """Print the completion script for a shell."""
        from pks4_lightning.cli.completion import completion_script

        commands = {
            name: (import_module(f"pks4_lightning.commands.{module}").add_arguments, meaning)
            for name, (module, meaning) in COMMANDS.items()
        }
        try:
            sys.stdout.write(completion_script(values, commands))
        except ValueError as error:
            parser.exit(1, f"pks4: error: {error}\n")
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
