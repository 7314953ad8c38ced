"""Interface of methods that are built around an image tower.

Dimensions:
    B: clips
    C: RGB
    T: frames
    I: images, ``B * T``, the frames of a clip one after the other
    L: tokens per frame, the class token first
    H, W: pixels
    D: width of a clip's vector
"""

from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pks4_lightning.insertion import ClipLayout, HookPoints, TowerPoints

__all__ = ["Peer", "Watch", "class_tokens_of_clips", "last_blocks"]


class Peer(nn.Module):
    """The part of a video model besides the image tower and the head.

    It is inserted into a tower before the tower's first forward pass. After each pass,
    :meth:`clip_vectors` returns one vector per clip from what it observed.

    Args:
        d_out: Width of these vectors.
    """

    learns_through_tower: ClassVar[bool]
    """Whether gradients pass through the tower. If not, it runs without keeping activations."""

    trained_in_tower: ClassVar[tuple[str, ...]] = ()
    """Names of the tower's modules that train. The rest of the tower is frozen; all parameters of
    the peer train."""

    def __init__(self, d_out: int) -> None:
        super().__init__()
        self.d_out = d_out

    def insert(self, tower: TowerPoints, layout: ClipLayout) -> None:
        """Start acting in a tower.

        Args:
            tower: The hook points of the tower.
            layout: How the tower's images make up clips, and patches make up an image.

        Raises:
            ValueError: If the tower has too few blocks.
        """
        raise NotImplementedError

    def clip_vectors(self, frames: Float[Tensor, "I C H W"]) -> Float[Tensor, "B D"]:
        """Return the input of the head, after a pass of the tower.

        Args:
            frames: The input of the tower.
        """
        raise NotImplementedError


class Watch:
    """Holds the latest input or output of a module of the tower until it is taken."""

    def __init__(self) -> None:
        self._seen: Tensor | None = None

    def what_enters(self, module: nn.Module) -> RemovableHandle:
        """Start observing the first input of a module.

        Args:
            module: Any module.
        """
        return module.register_forward_pre_hook(self._see_input)

    def what_leaves(self, module: nn.Module) -> RemovableHandle:
        """Start observing the output of a module.

        Args:
            module: A module whose output is a tensor.
        """
        return module.register_forward_hook(self._see_output)

    def take(self) -> Tensor:
        """Return the observed tensor, and release it."""
        assert self._seen is not None, "the tower has not run"
        seen, self._seen = self._seen, None
        return seen

    def _see_input(self, _module: nn.Module, args: tuple[Any, ...]) -> None:
        self._seen = args[0]

    def _see_output(self, _module: nn.Module, _args: Any, output: Tensor) -> None:
        self._seen = output


def class_tokens_of_clips(
    tokens: Float[Tensor, "I D"] | Float[Tensor, "I L D"], num_frames: int
) -> Float[Tensor, "B T D"]:
    """Sort the class tokens at a tower's final norm into clips.

    Args:
        tokens: What the norm was given or has put out: class tokens, or all tokens of each frame.
        num_frames: Frames per clip.
    """
    class_tokens = tokens if tokens.dim() == 2 else tokens[:, 0]
    return class_tokens.unflatten(0, (-1, num_frames))


def last_blocks(tower: TowerPoints, num_layers: int) -> list[HookPoints]:
    """Return the tower's last blocks, in their order.

    Args:
        tower: The tower.
        num_layers: Number of blocks.

    Raises:
        ValueError: If the tower has fewer.
    """
    if not 1 <= num_layers <= len(tower.blocks):
        raise ValueError(
            f"num_layers ({num_layers}) must be between 1 and {len(tower.blocks)}, the number of "
            "the tower's blocks."
        )
    return list(tower.blocks[-num_layers:])
