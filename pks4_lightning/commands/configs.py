"""``pks4 configs``: the configurations that come with the package."""

import argparse
import sys
from pathlib import Path

from pks4_lightning.cli.configs import config_names, config_purpose, shipped_config
from pks4_lightning.files import atomic_write

__all__ = ["add_arguments", "run"]

EXAMPLES = """\
examples:
  pks4 configs                        # every name, and what it is for
  pks4 configs ssv2                   # what the file says
  pks4 configs ssv2 --out my.yaml     # a copy to change: pks4 fit --config my.yaml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The command's.
    """
    parser.epilog = EXAMPLES
    parser.add_argument("name", nargs="?", help="show this one; default: list all")
    parser.add_argument("--out", type=Path, help="copy it to this file instead")


def run(arguments: argparse.Namespace) -> None:
    """List the configurations, show one, or copy one.

    Args:
        arguments: The command's.

    Raises:
        FileExistsError: If there is a file already where the copy is to go.
        FileNotFoundError: If there is no configuration of that name.
        ValueError: If a copy is asked for, and not of which.
    """
    if arguments.name is None:
        if arguments.out is not None:
            raise ValueError("--out copies a configuration: name it, as in `pks4 configs ssv2`.")
        for name in config_names():
            sys.stdout.write(f"{name:<28}{config_purpose(shipped_config(name))}\n")
        return
    text = shipped_config(arguments.name).read_text(encoding="utf-8")
    if arguments.out is None:
        sys.stdout.write(text)
        return
    if arguments.out.exists():
        raise FileExistsError(f"{arguments.out} exists already; choose another --out.")
    with atomic_write(arguments.out) as path:
        path.write_text(text, encoding="utf-8")
    sys.stdout.write(f"Wrote {arguments.out}.\n")
