"""Tables in a terminal, or in the file or pipe that takes its place."""

import os

from rich import box
from rich.console import Console
from rich.table import Table

__all__ = ["new_table", "print_tables"]


def new_table(
    title: str | None = None, *, caption: str | None = None, dense: bool = False
) -> Table:
    """Create a table without columns: a line below the head, title and caption on the left.

    Args:
        title: Text above.
        caption: Text below.
        dense: Leave less space between the columns, and none at the edges.
    """
    return Table(
        title=title,
        caption=caption,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=not dense,
        collapse_padding=dense,
    )


def print_tables(*shown: Table | str) -> None:
    """Print tables in the terminal's width, or 120 columns wide to a file or a pipe.

    Args:
        shown: Tables and sentences, in order. The environment's ``COLUMNS`` overrides the width.
    """
    console = Console()
    # in a file, rich would use 80 columns
    if not console.file.isatty() and "COLUMNS" not in os.environ:
        console.width = 120
    console.print(*shown, sep="\n")
