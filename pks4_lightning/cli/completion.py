"""Shell completion for ``pks4``: commands, their options, settings and files."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pks4_lightning.cli.settings import option_names

__all__ = ["completion_script"]

_FILES = ("--ckpt_path", "--config", "--data.root", "--trainer.default_root_dir")


def completion_script(
    shell: str, commands: Mapping[str, tuple[Callable[[argparse.ArgumentParser], None], str]]
) -> str:
    """Return the script for a shell.

    Args:
        shell: ``bash``, ``zsh``, or another shell that shtab supports.
        commands: For each name, the function that adds the command's arguments to a parser, and
            a short description.

    Raises:
        ValueError: If shtab is not installed or does not support the shell.
    """
    try:
        import shtab
    except ImportError:
        raise ValueError(
            "Completion needs shtab: pip install 'pks4-lightning[completion]'."
        ) from None
    if shell not in shtab.SUPPORTED_SHELLS:
        known = ", ".join(shtab.SUPPORTED_SHELLS)
        raise ValueError(f"--print_shtab {shell}: shtab knows {known}.")
    top = argparse.ArgumentParser(prog="pks4")
    top.add_argument("--version", action="store_true")
    groups = {"": top.add_subparsers()}
    for name, (add_arguments, meaning) in commands.items():
        group, _, last = name.rpartition(" ")
        if group not in groups:
            # shtab leaves out commands without a help text
            groups[group] = groups[""].add_parser(group, help=f"pks4 {group} …").add_subparsers()
        parser = groups[group].add_parser(last, help=meaning, conflict_handler="resolve")
        parser.set_defaults(command=name)
        add_arguments(parser)
        if parser.get_default("settings") is not None:
            _add_settings(parser)
        for action in parser._actions:
            if action.type is Path or set(action.option_strings) & {*_FILES}:
                known_to_shtab: Any = action
                known_to_shtab.complete = shtab.FILE
    return shtab.complete(top, shell)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the settings that a command accepts, by name only."""
    taken = {option for action in parser._actions for option in action.option_strings}
    for option in option_names():
        if option not in taken:
            parser.add_argument(option)
