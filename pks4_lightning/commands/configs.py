"""``pks4 configs``: list, show and copy the configurations that ship with the package."""

import argparse
import sys
from pathlib import Path

from pks4_lightning.cli.configs import config_names, config_purpose, shipped_config
from pks4_lightning.files import atomic_write

__all__ = ["add_arguments", "run"]

EXAMPLES = """\
examples:
  pks4 configs                        # list all names and purposes
  pks4 configs ssv2                   # show one
  pks4 configs ssv2 --out my.yaml     # copy one to change: pks4 fit --config my.yaml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command.
    """
    parser.epilog = EXAMPLES
    parser.add_argument("name", nargs="?", help="configuration to show; default: list all")
    parser.add_argument(
        "--out", type=Path, help="copy the configuration to this file instead of showing it"
    )


def run(arguments: argparse.Namespace) -> None:
    """List the configurations, show one, or copy one.

    Args:
        arguments: The parsed arguments of the command.

    Raises:
        FileExistsError: If the target of the copy already exists.
        FileNotFoundError: If there is no configuration of that name.
        ValueError: If a copy is asked for without the name of a configuration.
    """
    if arguments.name is None:
        if arguments.out is not None:
            raise ValueError(
                "--out needs the name of a configuration to copy, as in `pks4 configs ssv2 --out "
                "my.yaml`."
            )
        for name in config_names():
            sys.stdout.write(f"{name:<28}{config_purpose(shipped_config(name))}\n")
        return
    text = shipped_config(arguments.name).read_text(encoding="utf-8")
    if arguments.out is None:
        sys.stdout.write(text)
        return
    if arguments.out.exists():
        raise FileExistsError(f"{arguments.out} already exists; choose another --out.")
    with atomic_write(arguments.out) as path:
        path.write_text(text, encoding="utf-8")
    sys.stdout.write(f"Wrote {arguments.out}.\n")
