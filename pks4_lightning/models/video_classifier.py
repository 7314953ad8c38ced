"""What training, costs and tests may ask of any network that classifies clips.

Dimensions:
    B: clips
    C: RGB
    D: width of what the head reads
    T: frames
    H, W: pixels
    I: images, ``B * T``
    K: classes
    L: tokens per frame
    E: width of a token
"""

from collections.abc import Iterator, Sequence

from jaxtyping import Float
from torch import Tensor, nn

from pks4_lightning.ops.autocast import without_autocast
from pks4_lightning.ops.patch_resize import patch_size_of, resize_patches

__all__ = ["VideoClassifier", "new_head"]


class VideoClassifier(nn.Module):
    """A network with a linear head, which classifies clips of any length.

    Args:
        own_patch_size: Side of the patches that the patch embedding is made for.
        grid_size: Rows and columns of patches that every frame is cut into, whatever its size.
            ``None``: patches have their own size.
    """

    head: nn.Linear
    causal: bool = False
    """Whether no frame sees a later one."""
    answers_prefixes: bool = False
    """Whether training asks for the logits of every prefix of a clip, not of the whole only."""

    def __init__(self, *, own_patch_size: int, grid_size: int | None) -> None:
        super().__init__()
        self.own_patch_size = own_patch_size
        self.grid_size = grid_size

    def forward(
        self, video: Float[Tensor, "B C T H W"], patch_size: int | None = None
    ) -> Float[Tensor, "B K"] | Float[Tensor, "B T K"]:
        """Return the logits of each clip.

        Args:
            video: Frames as the network's preprocessing makes them, of any number and of any size
                that whole patches cover. Where they are cut into another grid than the network's
                own, or are more or fewer than its own, position embeddings are interpolated.
            patch_size: Side of a patch in pixels. The weights of the patch embedding are fitted to
                sizes other than their own by FlexiViT's pseudo-inverse. ``None``: the model's rule,
                see ``grid_size``.

        Raises:
            ValueError: If patches do not cover a frame exactly, or the network cannot take as
                many.
        """
        return self._classify(self.clip_vectors(video, patch_size))

    def clip_vectors(
        self, video: Float[Tensor, "B C T H W"], patch_size: int | None = None
    ) -> Float[Tensor, "B D"]:
        """Return what the head reads of each clip.

        Args:
            video: As in :meth:`forward`.
            patch_size: The same.
        """
        raise NotImplementedError

    def trunk(self) -> Sequence[nn.Module]:
        """Return what every frame passes by itself before anything looks along time.

        Raises:
            ValueError: If frames meet from the first block on.
        """
        raise ValueError(
            "This classifier has no part that every frame passes by itself, as recipe.trains "
            "after_insertion and data.token_cache need: set recipe.trains all or head."
        )

    def trunk_tokens(
        self, video: Float[Tensor, "B C T H W"], patch_size: int | None = None
    ) -> Float[Tensor, "B T L E"]:
        """Return what the :meth:`trunk` makes of clips; :meth:`forward` takes it in their place.

        Args:
            video: As in :meth:`forward`.
            patch_size: The same.
        """
        raise NotImplementedError

    def parts(self) -> dict[str, Sequence[nn.Module]]:
        """Name the modules that make it up, in the order in which a clip passes them.

        No two parts share a parameter, and together they have all.
        """
        raise NotImplementedError

    def parts_within(self) -> Sequence[str]:
        """Name the parts that run while the first part, the image tower, does."""
        return ()

    def parts_by_depth(self) -> Iterator[tuple[int, str, nn.Module]]:
        """Sort what is pre-trained by its distance from the pixels.

        Yields:
            Depth, name and module: 0 for what comes before the blocks, ``i`` for block ``i``
            counted from 1. What is not named learns at the full rate.
        """
        raise NotImplementedError

    def undecayed_names(self) -> set[str]:
        """Name parameters that weight decay must leave alone, besides those known by their kind."""
        return set()

    def _classify(self, vectors: Float[Tensor, "B *T D"]) -> Float[Tensor, "B *T K"]:
        # bfloat16 keeps three digits of a logit, too few to tell close classes apart
        with without_autocast(vectors.device):
            return self.head(vectors.to(self.head.weight.dtype))

    def _patch_size(self, height: int, width: int) -> int:
        return patch_size_of(height, width, grid_size=self.grid_size, own_size=self.own_patch_size)

    def _frames(
        self, video: Float[Tensor, "B C T H W"], patch_size: int | None
    ) -> tuple[Float[Tensor, "I C H2 W2"], tuple[int, int]]:
        """Return the frames, with patches of the own size, and their rows and columns of these."""
        height, width = video.shape[3:]
        patch_size = patch_size or self._patch_size(height, width)
        frames = resize_patches(
            video.transpose(1, 2).flatten(0, 1),
            patch_size=patch_size,
            weight_size=self.own_patch_size,
        )
        return frames, (height // patch_size, width // patch_size)


def new_head(d_vector: int, num_classes: int) -> nn.Linear:
    """Make a linear head: small weights, no bias at first.

    Args:
        d_vector: Width of what it reads.
        num_classes: Number of classes.
    """
    head = nn.Linear(d_vector, num_classes)
    nn.init.trunc_normal_(head.weight, std=0.02)
    nn.init.zeros_(head.bias)
    return head
