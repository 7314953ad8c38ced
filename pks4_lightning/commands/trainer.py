"""``pks4 fit | validate | test | predict``: Lightning's trainer on our task and data."""

import argparse
import logging
import multiprocessing
import warnings

from pks4_lightning.cli.arguments import take_settings
from pks4_lightning.cli.lightning_cli import run_cli
from pks4_lightning.training.callbacks.preemption import noting_signals

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take all arguments as settings.

    Args:
        parser: The command's.
    """
    take_settings(parser)
    parser.add_argument("-h", "--help", action=_Help, nargs=0)


class _Help(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Show all settings."""
        run_cli([parser.prog.removeprefix("pks4 "), "--help"])


def run(arguments: argparse.Namespace) -> None:
    """Run the command.

    Args:
        arguments: The name of the command, and its settings.

    Raises:
        SystemExit: With status 2 if the settings do not parse, 143 if SIGTERM or SIGUSR1 stops the
            run. One that stalls ends with 75.
    """
    # Lightning 2.6 calls a function that torch 2.13 has renamed; nothing a user could do.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: "litlogger" not in record.getMessage()  # an advertisement
    )
    if arguments.command != "fit":  # nothing is saved there
        warnings.filterwarnings("ignore", message="The dirpath has changed")
    try:
        with noting_signals():
            run_cli([arguments.command, *arguments.settings])
    finally:
        for worker in multiprocessing.active_children():  # one that is stuck would hold up the end
            worker.kill()
