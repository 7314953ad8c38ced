"""A command's own arguments, and the training settings that may follow them."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from pks4_lightning.suggestions import did_you_mean

__all__ = [
    "CommandParser",
    "NumbersAction",
    "RangeAction",
    "add_folds",
    "add_only_print",
    "add_rates",
    "add_trainings",
    "parse_arguments",
    "take_settings",
]


class CommandParser(argparse.ArgumentParser):
    """A parser that reports a mistake in one sentence, without the usage text."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register("type", Path, _path)

    def error(self, message: str) -> NoReturn:
        """Exit with status 2.

        Args:
            message: What is wrong.
        """
        end = f"; `{self.prog} --help` lists all."
        if wrong := re.match(r"(.* invalid choice: '(.+)') \(choose from (.+)\)$", message):
            known = [name.strip("'") for name in wrong[3].split(", ")]
            meant = did_you_mean(wrong[2], known)
            message, end = (message, end) if meant == "." else (wrong[1], meant)
        self.exit(2, f"pks4: error: {message.rstrip('.')}{end}\n")


class RangeAction(argparse.Action):
    """Parses a number, or several with ``nargs``, and refuses infinity and what is out of range."""

    def __init__(
        self, *, least: int | None = None, above: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.least, self.above = least, above

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Keep it."""
        for number in values if isinstance(values, list) else [values]:
            if self.least is not None and number < self.least:
                parser.error(f"{option_string} is {number}; it must be at least {self.least}")
            if self.above is not None and not self.above < number < float("inf"):
                parser.error(
                    f"{option_string} is {number:g}; it must be a number above {self.above}"
                )
        setattr(namespace, self.dest, values)


def _path(text: str) -> Path:
    """Return a path; an empty string, as of an unset variable, would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return Path(text)


class NumbersAction(argparse.Action):
    """Parses positive integers, ``8 16 32``, sorted."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(nargs="+", metavar="N", **kwargs)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Read them."""
        numbers = sorted({int(word) for word in values if word.isdecimal()})
        if len(numbers) < len(set(values)) or not numbers[0]:
            wrong = " ".join(values)
            parser.error(f"{option_string} takes positive integers such as 8 16, not '{wrong}'")
        setattr(namespace, self.dest, tuple(numbers))


def take_settings(parser: argparse.ArgumentParser) -> None:
    """Accept settings among the arguments of a command: ``--config FILE``, ``--data.KEY VALUE``.

    They are passed on unchanged as the argument ``settings``.

    Args:
        parser: The parser of the command.
    """
    parser.set_defaults(settings=[])


def add_trainings(parser: argparse.ArgumentParser, *, out: str, what: str, holds: str) -> None:
    """Add the options that all sets of trainings share: seeds, folder, number of parallel runs.

    Args:
        parser: The parser of the command.
        out: Default output folder.
        what: What is trained once per seed, for the help: ``row``.
        holds: What the folder contains, for the help.
    """
    parser.add_argument(
        "--seeds",
        action=RangeAction,
        type=int,
        least=0,
        nargs="+",
        default=[0],
        help=f"train every {what} once per seed; default: 0",
    )
    parser.add_argument(
        "--out", type=Path, default=Path(out), help=f"folder of {holds} (default: %(default)s)"
    )
    parser.add_argument(
        "--jobs",
        action=RangeAction,
        type=int,
        least=1,
        default=1,
        help="number of trainings to run in parallel",
    )


def add_folds(parser: argparse.ArgumentParser) -> None:
    """Add ``--folds``, for commands that can cross-validate.

    Args:
        parser: The parser of the command.
    """
    parser.add_argument(
        "--folds",
        action=RangeAction,
        type=int,
        least=2,
        help="number of folds of a grouped cross-validation, for few clips: data.train is a table "
        "with the columns path, label and group, and whole groups are held out",
    )


def add_rates(parser: argparse.ArgumentParser) -> None:
    """Add ``--rates``, for commands that can choose a learning rate on an inner split.

    Args:
        parser: The parser of the command.
    """
    parser.add_argument(
        "--rates",
        action=RangeAction,
        type=float,
        above=0,
        nargs="+",
        default=[],
        metavar="RATE",
        help="values of model.recipe.base_lr; the first seed chooses the best one for each row and "
        "fold, on a held-out part of the training clips",
    )


def add_only_print(parser: argparse.ArgumentParser) -> None:
    """Add ``--print``, as the argument ``only_print``.

    Args:
        parser: The parser of the command.
    """
    parser.add_argument(
        "--print",
        action="store_true",
        dest="only_print",
        help="print the commands of the remaining trainings, one per line, without running them",
    )


def parse_arguments(parser: argparse.ArgumentParser, given: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments of a command.

    Args:
        parser: Knows the command's own arguments; all others are settings, if it accepts any.
        given: The arguments.

    Raises:
        SystemExit: With status 0 after help, 2 if the arguments are wrong.
    """
    if parser.get_default("settings") is None:
        return parser.parse_args(given)
    own, settings = _separate(parser, given)
    arguments = parser.parse_args(own)
    arguments.settings = settings
    return arguments


def _separate(parser: argparse.ArgumentParser, given: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate a command's own arguments from settings, each of which has one value."""
    own: list[str] = []
    settings: list[str] = []
    waiting = list(given)
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            return [*own, argument, *waiting], settings
        name, has_value, value = argument.partition("=")
        if name == "-c":
            name, argument = "--config", f"--config{has_value}{value}"
        is_option = argument.startswith("--")
        if not is_option or name in parser._option_string_actions:
            own.append(argument)
            continue
        if not has_value and waiting and not waiting[0].startswith("--"):
            # joined with "=", because a value may begin with a dash
            argument = f"{argument}={waiting.pop(0)}"
        meant = did_you_mean(name, parser._option_string_actions, cutoff=0.8)
        if "." not in name and meant != ".":
            parser.error(f"there is no {name}{meant}")
        settings.append(argument)
    return own, settings
