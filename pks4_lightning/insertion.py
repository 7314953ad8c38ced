"""The structures that cross from an image tower to what is inserted into it by hooks.

Hooks are bound methods of the modules they belong to, never closures: a deep copy or a pickle of
the classifier then carries hooks that call the copy.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

__all__ = ["ClipLayout", "HookPoints", "Hooked", "InnerPoints", "StreamFrames", "TowerPoints"]


@dataclass
class StreamFrames:
    """What a pass over the next frames of streams reads and leaves, besides the images.

    Args:
        states: The state of every inserted module, replaced as the pass goes through it.
        exists: 1 for the frames that are there, ``None`` if all are; a module with a delay replaces
            it by those of the frames it lets go.
    """

    states: "dict[Hooked, Any]"
    exists: Float[Tensor, "B T"] | None


@dataclass
class ClipLayout:
    """How the images of one forward pass make up clips; hooks see only the images.

    One object is shared by a classifier and everything it inserts; the classifier writes it at the
    start of each forward pass.

    Args:
        num_frames: Frames per clip.
        grid_size: Rows and columns of patches per frame.
        num_prefix_tokens: Tokens of a frame that stand before its patches: class token, registers.
        stream: Set where the images are the next frames of streams. ``None``: whole clips.
    """

    num_frames: int = 1
    grid_size: tuple[int, int] = (1, 1)
    num_prefix_tokens: int = 1
    stream: StreamFrames | None = None


class InnerPoints(NamedTuple):
    """The parts of a block that only some modules need, and only some backbones name.

    ``attention`` maps tokens to a tuple, mixed tokens first; ``queries`` and ``keys`` are its
    projections, heads side by side. ``mlp`` maps normalised tokens to what is added to the stream.
    """

    attention: nn.Module
    queries: nn.Module
    keys: nn.Module
    mlp: nn.Module


class HookPoints(NamedTuple):
    """The places of one backbone block that hooks attach to.

    ``block`` maps tokens to tokens, residuals included. ``attention_norm`` receives the residual
    stream and feeds the attention. What ``attention_add`` returns, or the first of it, is added to
    that stream: the attention's output, scaled or dropped out where the backbone does so. It may be
    called once more in the block, after the MLP.
    """

    block: nn.Module
    attention_norm: nn.Module
    attention_add: nn.Module
    inner: InnerPoints | None = None


class TowerPoints(NamedTuple):
    """The places of a backbone with a class token, for what acts in more than one block.

    ``embeddings`` puts out the first tokens, ``final_norm`` is given what leaves the last
    block: the class tokens, or all tokens.
    """

    embeddings: nn.Module
    blocks: Sequence[HookPoints]
    final_norm: nn.Module


class Hooked(nn.Module):
    """A module that acts inside a backbone block by hooks, from :meth:`insert` to :meth:`remove`.

    A subclass says in :meth:`attach` which hooks it needs, and reads ``self.layout`` in them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layout = ClipLayout()
        self._handles: list[RemovableHandle] = []

    def insert(self, points: HookPoints, layout: ClipLayout) -> None:
        """Act inside a backbone block from now on.

        Args:
            points: The block.
            layout: How the block's images make up clips, and patches an image.
        """
        self.layout = layout
        self._handles += self.attach(points)

    def attach(self, points: HookPoints) -> Iterable[RemovableHandle]:
        """Register the hooks on a block; their order is that of their calls at one place."""
        raise NotImplementedError

    def initial_state(self, like: Float[Tensor, "B D H W"]) -> Any:
        """Return the state before the first frame of streams: tensors of zeros.

        Args:
            like: Tokens on their grid, one frame of every stream.
        """
        raise NotImplementedError

    def remove(self) -> None:
        """Let the block run as if the module had never been inserted."""
        while self._handles:
            self._handles.pop().remove()
