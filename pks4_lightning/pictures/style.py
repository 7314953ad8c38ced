"""What all figures share: colours and markers that differ without colour, axes, text, files."""

from pathlib import Path
from typing import Literal
from unicodedata import category

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pks4_lightning.files import atomic_write, check_writable

__all__ = [
    "COLOURS",
    "DASHES",
    "MARKERS",
    "RIGHT",
    "WRONG",
    "check_picture",
    "new_figure",
    "plain_axes",
    "save_figure",
    "written",
]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""The palette of Okabe and Ito, which suits colour vision deficiencies."""
DASHES = ("-", "--", "-.", ":", "-", "--")
MARKERS = ("o", "s", "^", "D", "v", "P")
RIGHT, WRONG = "✓", "✗"
_FORMATS = FigureCanvasAgg.get_supported_filetypes().keys() - {"pgf"}  # which needs LaTeX


def check_picture(path: str | Path, *, option: str) -> None:
    """Check that a picture can be saved, before the work that it is to show.

    Args:
        path: The file; its folder is created if necessary.
        option: The option that names it, for the message.

    Raises:
        IsADirectoryError: If it is a folder.
        OSError: If nothing can be written to its folder.
        ValueError: If its suffix is not a format of pictures.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(
            f"{option} {path} is a folder; name a picture in it, such as {path / 'picture.png'}."
        )
    if path.suffix.removeprefix(".").lower() not in _FORMATS:
        raise ValueError(
            f"{option} {path} does not say how to save a picture; let it end in .png, .pdf or "
            f".svg, or another of {', '.join(sorted(_FORMATS))}."
        )
    check_writable(path.parent, what="picture", option=option)


def new_figure(width: float, height: float, *, arranged: bool = True) -> Figure:
    """Create a figure that needs no display.

    Args:
        width: In inches.
        height: In inches.
        arranged: Let matplotlib arrange axes and titles so that none overlap; otherwise the caller
            places them.

    Returns:
        An empty figure, not registered with pyplot, so that it need not be closed.
    """
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained" if arranged else None)
    FigureCanvasAgg(figure)
    return figure


def plain_axes(axes: Axes, *, grid: Literal["x", "y", "both"] = "both") -> None:
    """Draw a light grid behind the data, and no frame above and on the right.

    Args:
        axes: The axes.
        grid: The axis whose values have grid lines.
    """
    axes.grid(axis=grid, color="0.9", lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure atomically.

    Args:
        figure: The figure.
        path: The file; its suffix is the format.
    """
    with atomic_write(path) as unfinished:
        figure.savefig(unfinished)


def written(text: str, *, most: int = 60) -> str:
    """Return somebody's words, such as the name of a class or a file, as figures show them.

    Each figure passes names and titles through this function: matplotlib reads what is between
    dollars as a formula, and leaves what begins with an underscore out of legends. It needs
    formulas itself, for the ticks of logarithmic axes.

    Args:
        text: Becomes one line; control characters, and bytes that are not text, are question marks.
        most: Maximum number of characters; a longer text ends with an ellipsis.
    """
    if len(text) > most:
        text = f"{text[: most - 1]}…"
    line = "".join(_sign(sign) for sign in text).replace("$", r"\$")
    return f" {line}" if line.startswith("_") else line


def _sign(sign: str) -> str:
    return " " if sign.isspace() else "?" if category(sign) in ("Cc", "Cs") else sign
