"""``pks4 fit | validate | test | predict``: Lightning's trainer on our task and data."""

import argparse
import logging
import multiprocessing
import sys
import warnings
from typing import Any

from pks4_lightning.cli.arguments import take_settings
from pks4_lightning.cli.short_help import short_help

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take all arguments as settings.

    Args:
        parser: The command's.
    """
    parser.usage = f"{parser.prog} [--config FILE] [--SETTING VALUE ...]"
    parser.epilog = short_help(parser.get_default("command"))
    parser.add_argument(
        *("-h", "--help"), action=_Help, nargs="?", metavar="GROUP", help=argparse.SUPPRESS
    )
    take_settings(parser)


class _Help(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Show what is used first, a group of settings, or all."""
        if values is None:
            parser.print_help()
        elif values == "all":
            from pks4_lightning.cli.lightning_cli import run_cli

            run_cli([parser.get_default("command"), "--help"])
        else:
            from pks4_lightning.cli.settings import settings_help

            sys.stdout.write(settings_help(values))
        parser.exit()


def run(arguments: argparse.Namespace) -> None:
    """Run the command.

    Args:
        arguments: The name of the command, and its settings.

    Raises:
        SystemExit: With status 2 if the settings do not parse, 143 if SIGTERM or SIGUSR1 stops the
            run. One that stalls ends with 75.
    """
    from pks4_lightning.cli.lightning_cli import run_cli
    from pks4_lightning.training.callbacks.preemption import noting_signals

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
