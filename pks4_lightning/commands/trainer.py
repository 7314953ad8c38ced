"""``pks4 fit | validate | test``: run Lightning's trainer on our task and data."""

import argparse
import logging
import multiprocessing
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pks4_lightning.cli.arguments import take_settings
from pks4_lightning.cli.short_help import short_help

if TYPE_CHECKING:
    from lightning.pytorch import Callback

__all__ = ["add_arguments", "run", "start"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Accept all arguments as settings.

    Args:
        parser: The parser of the command.
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
        """Show the common settings, a group of settings, or all."""
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
        arguments: The name of the command and its settings.

    Raises:
        SystemExit: As :func:`start` does.
    """
    start([arguments.command, *arguments.settings])


def start(arguments: Sequence[str], *, callbacks: "Sequence[Callback]" = ()) -> None:
    """Start Lightning's trainer.

    Args:
        arguments: The command and its settings.
        callbacks: Callbacks of this run, in addition to those that every run has.

    Raises:
        SystemExit: With status 2 if the settings do not parse, 143 if SIGTERM or SIGUSR1 stopped
            the run, 75 if it stalled.
    """
    from pks4_lightning.cli.lightning_cli import run_cli
    from pks4_lightning.training.callbacks.preemption import noting_signals

    # Lightning 2.6 calls a function that torch 2.13 has renamed; users can do nothing about it.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
    # `check_cores` reports it, once.
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    # A run that is not resumed is refused there.
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    # The last line of the run says so.
    warnings.filterwarnings("ignore", message=".*could not find the monitored key")
    # `LogInterval` lowers it.
    warnings.filterwarnings("ignore", message="The number of training batches")
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: "litlogger" not in record.getMessage()  # an advertisement
    )
    if arguments[0] != "fit":  # evaluation saves nothing there
        warnings.filterwarnings("ignore", message="The dirpath has changed")
        # a training started from Python has callbacks that are unknown here and not needed
        warnings.filterwarnings("ignore", message="Be aware that when using `ckpt_path`")
    try:
        with noting_signals():
            run_cli(list(arguments), callbacks=callbacks)
    finally:
        for worker in multiprocessing.active_children():  # a stuck worker would block the exit
            worker.kill()
