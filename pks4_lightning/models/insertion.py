"""What a module needs to act inside a backbone block by hooks.

Hooks are bound methods of the modules they belong to, never closures: a deep copy or a pickle of
the classifier then carries hooks that call the copy.
"""

from dataclasses import dataclass
from typing import NamedTuple

from torch import nn

__all__ = ["ClipLayout", "HookPoints"]


@dataclass
class ClipLayout:
    """How the images of one forward pass make up clips; hooks see only the images.

    One object is shared by a classifier and everything it inserts; the classifier writes it at the
    start of each forward pass.

    Args:
        num_frames: Frames per clip.
        grid_size: Rows and columns of patches per frame.
    """

    num_frames: int = 1
    grid_size: tuple[int, int] = (1, 1)


class HookPoints(NamedTuple):
    """The places of one backbone block that hooks attach to.

    ``block`` maps tokens to tokens, residuals included. ``attention_norm`` receives the residual
    stream and feeds ``attention``, whose first output is added to that stream.
    """

    block: nn.Module
    attention_norm: nn.Module
    attention: nn.Module
