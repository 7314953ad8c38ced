"""Structures shared by an image tower and the modules that hooks insert into it.

Hooks are bound methods of the modules they belong to, never closures, so that the hooks of a deep
copy or an unpickled classifier call that copy.
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
    """What a pass over the next frames of streams reads and updates, besides the images.

    Args:
        states: The state of every inserted module, updated as the pass goes through it.
        exists: 1 for frames that exist, ``None`` if all do; a module with a delay replaces it by
            the flags of the frames that it emits.
    """

    states: "dict[Hooked, Any]"
    exists: Float[Tensor, "B T"] | None


@dataclass
class ClipLayout:
    """How the images of one forward pass make up clips; the hooks only see images.

    A classifier and all modules inserted into it share one object. The classifier updates it at
    the start of each forward pass.

    Args:
        num_frames: Frames per clip.
        grid_size: Rows and columns of patches per frame.
        num_prefix_tokens: Tokens of a frame that precede its patches: class token, registers.
        stream: Set if the images are the next frames of streams. ``None``: whole clips.
    """

    num_frames: int = 1
    grid_size: tuple[int, int] = (1, 1)
    num_prefix_tokens: int = 1
    stream: StreamFrames | None = None


class InnerPoints(NamedTuple):
    """Parts of a block that only some modules need and only some backbones expose.

    ``attention`` maps tokens to a tuple whose first item is the mixed tokens; ``queries`` and
    ``keys`` are its projections, heads concatenated. ``mlp`` maps normalised tokens to the update
    of the residual stream.
    """

    attention: nn.Module
    queries: nn.Module
    keys: nn.Module
    mlp: nn.Module


class HookPoints(NamedTuple):
    """The places in one backbone block to which hooks attach.

    ``block`` maps tokens to tokens, residual connections included. ``attention_norm`` receives the
    residual stream and feeds the attention. The output of ``attention_add``, or its first item, is
    added to the stream: it is the attention's output, after scaling and dropout if the backbone has
    them. The block may call it a second time, after the MLP.
    """

    block: nn.Module
    attention_norm: nn.Module
    attention_add: nn.Module
    inner: InnerPoints | None = None


class TowerPoints(NamedTuple):
    """The places in a backbone with a class token for modules that act in several blocks.

    ``embeddings`` puts out the first tokens, ``final_norm`` is given what leaves the last
    block: the class tokens, or all tokens.
    """

    embeddings: nn.Module
    blocks: Sequence[HookPoints]
    final_norm: nn.Module


class Hooked(nn.Module):
    """A module that acts inside a backbone block by hooks, from :meth:`insert` to :meth:`remove`.

    A subclass registers its hooks in :meth:`attach` and reads ``self.layout`` in them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layout = ClipLayout()
        self._handles: list[RemovableHandle] = []

    def insert(self, points: HookPoints, layout: ClipLayout) -> None:
        """Start acting inside a backbone block.

        Args:
            points: The block.
            layout: How images make up clips, and patches make up an image.
        """
        self.layout = layout
        self._handles += self.attach(points)

    def attach(self, points: HookPoints) -> Iterable[RemovableHandle]:
        """Register hooks on a block; hooks at the same place are called in this order."""
        raise NotImplementedError

    def initial_state(self, like: Float[Tensor, "B D H W"]) -> Any:
        """Return the state before the first frame of a stream: tensors of zeros.

        Args:
            like: Tokens of one frame of every stream, on their grid.
        """
        raise NotImplementedError

    def num_patches(self, state: Any) -> int | None:  # noqa: ARG002 - some states have none
        """Return the number of patches per frame that a stream's state is for, if it has any.

        Args:
            state: From :meth:`initial_state`, or after any frame.
        """
        return None

    def remove(self) -> None:
        """Remove the hooks, so that the block runs as before the insertion."""
        while self._handles:
            self._handles.pop().remove()
