"""Draw an overview of a data set: videos per class and lengths of videos."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pks4_lightning.pictures.style import COLOURS, DASHES, new_figure, plain_axes, written

__all__ = ["data_check_figure"]

_NUM_BINS = 40


def data_check_figure(
    per_class: Mapping[str, Sequence[int]], num_frames: Mapping[str, Sequence[int]]
) -> Figure:
    """Draw the number of videos per class and of frames per video, in one colour per split.

    Args:
        per_class: Videos of every class, by split; sorted by the size of the class in the first
            split.
        num_frames: Frames of every video, by split; empty splits are omitted.

    Returns:
        The figure.

    Raises:
        ValueError: If there is no split.
    """
    if not per_class:
        raise ValueError("A picture of a data set needs at least one split, got none.")
    figure = new_figure(9.0, 3.6)
    classes, lengths = figure.subplots(1, 2)
    first = next(iter(per_class.values()))
    order = sorted(range(len(first)), key=lambda label: -first[label])
    for place, (name, counts) in enumerate(per_class.items()):
        classes.step(
            range(1, len(order) + 1),
            [counts[label] for label in order],
            where="mid",
            color=COLOURS[place],
            linestyle=DASHES[place],
            label=written(name),
        )
    classes.set_title("videos per class", loc="left", fontsize=10)
    classes.set_xlabel("classes, the largest first")
    classes.set_ylim(bottom=0)
    classes.legend(frameon=False, fontsize=9)
    known = {name: numbers for name, numbers in num_frames.items() if numbers}
    longest = max((max(numbers) for numbers in known.values()), default=1)
    for place, (name, numbers) in enumerate(known.items()):
        lengths.hist(
            numbers,
            bins=min(_NUM_BINS, longest),
            range=(0, longest + 1),
            histtype="step",
            color=COLOURS[place],
            linestyle=DASHES[place],
            label=written(name),
        )
    if not known:
        lengths.text(0.5, 0.5, "pks4 data index counts the frames", ha="center", va="center")
    lengths.set_title("videos by number of frames", loc="left", fontsize=10)
    lengths.set_xlabel("frames")
    for axes in (classes, lengths):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        plain_axes(axes)
    return figure
