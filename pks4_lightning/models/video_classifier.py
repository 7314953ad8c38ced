"""Base class of classifiers: the interface used by training, cost and tests.

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
        own_patch_size: Patch size that the patch embedding was made for, in pixels.
        grid_size: Rows and columns of patches that every frame is cut into, whatever its size.
            ``None``: patches have their own size.
    """

    head: nn.Linear
    causal: bool = False
    """Whether no frame depends on a later one."""
    answers_prefixes: bool = False
    """Whether training needs the logits of every prefix of a clip, not only of the whole."""

    def __init__(self, *, own_patch_size: int, grid_size: int | None) -> None:
        super().__init__()
        self.own_patch_size = own_patch_size
        self.grid_size = grid_size

    def forward(
        self, video: Float[Tensor, "B C T H W"], patch_size: int | None = None
    ) -> Float[Tensor, "B K"] | Float[Tensor, "B T K"]:
        """Return the logits of each clip.

        Args:
            video: Frames as given by the network's preprocessing, of any number and of any size
                that whole patches cover. Position embeddings are interpolated if the grid or the
                number of frames differs from the network's own.
            patch_size: Side of a patch in pixels. The weights of the patch embedding are adapted to
                other sizes by FlexiViT's pseudo-inverse. ``None``: decided by the model, see
                ``grid_size``.

        Raises:
            ValueError: If ``video`` has not five axes or is empty, patches do not cover a frame
                exactly, or the network cannot take that many.
        """
        return self._classify(self.clip_vectors(video, patch_size))

    def clip_vectors(
        self, video: Float[Tensor, "B C T H W"], patch_size: int | None = None
    ) -> Float[Tensor, "B D"]:
        """Return the input of the head for each clip.

        Args:
            video: As in :meth:`forward`.
            patch_size: As in :meth:`forward`.
        """
        raise NotImplementedError

    def freeze(self, trains: str) -> None:
        """Freeze the parameters that a recipe does not train.

        Args:
            trains: ``recipe.trains``: ``all``, ``after_insertion`` or ``head``.

        Raises:
            ValueError: If there is no part to freeze before the insertion; see :meth:`trunk`.
        """
        if trains == "head":
            self.requires_grad_(False)
            self.head.requires_grad_(True)
        elif trains == "after_insertion":
            for part in self.trunk():
                part.requires_grad_(False)

    def trunk(self) -> Sequence[nn.Module]:
        """Return the modules that process each frame independently, before any temporal model.

        Raises:
            ValueError: If frames interact from the first block on.
        """
        raise ValueError(
            "This classifier has no part that processes each frame independently, which "
            "recipe.trains after_insertion and data.token_cache need: set recipe.trains to all or "
            "head."
        )

    def trunk_tokens(
        self, video: Float[Tensor, "B C T H W"], patch_size: int | None = None
    ) -> Float[Tensor, "B T L E"]:
        """Return the output of the :meth:`trunk`; :meth:`forward` accepts it instead of clips.

        Args:
            video: As in :meth:`forward`.
            patch_size: As in :meth:`forward`.
        """
        raise NotImplementedError

    def parts(self) -> dict[str, Sequence[nn.Module]]:
        """Return its modules by name, in the order in which a clip passes through them.

        No two parts share a parameter, and together they have all parameters.
        """
        raise NotImplementedError

    def parts_within(self) -> Sequence[str]:
        """Return the names of the parts that run inside the first part, the image tower."""
        return ()

    def parts_by_depth(self) -> Iterator[tuple[int, str, nn.Module]]:
        """Yield the pretrained modules by their distance from the pixels.

        Yields:
            Depth, name and module: 0 for what comes before the blocks, ``i`` for block ``i``,
            counted from 1. Modules that are not yielded learn at the full rate.
        """
        raise NotImplementedError

    def undecayed_names(self) -> set[str]:
        """Return names of parameters without weight decay, besides those known by their kind."""
        return set()

    def _classify(self, vectors: Float[Tensor, "B *T D"]) -> Float[Tensor, "B *T K"]:
        # bfloat16 keeps three digits of a logit, too few to separate similar classes
        with without_autocast(vectors.device):
            return self.head(vectors.to(self.head.weight.dtype))

    def _patch_size(self, height: int, width: int) -> int:
        return patch_size_of(height, width, grid_size=self.grid_size, own_size=self.own_patch_size)

    def _check_clips(self, clips: Tensor) -> None:
        """Refuse what is not a batch of clips, each with frames."""
        if clips.ndim != 5 or 0 in clips.shape:
            raise ValueError(
                f"A classifier takes clips with five axes, B x C x T x H x W, none of them empty, "
                f"got {' x '.join(map(str, clips.shape))}: unsqueeze(0) makes a batch of one clip."
            )

    def _frames(
        self, video: Float[Tensor, "B C T H W"], patch_size: int | None
    ) -> tuple[Float[Tensor, "I C H2 W2"], tuple[int, int]]:
        """Return the frames, with patches and precision of the weights', and the grid's shape."""
        self._check_clips(video)
        height, width = video.shape[3:]
        patch_size = patch_size or self._patch_size(height, width)
        frames = resize_patches(
            video.transpose(1, 2).flatten(0, 1),
            patch_size=patch_size,
            weight_size=self.own_patch_size,
        )
        # pixels are float32 also if the weights have half precision
        frames = frames.to(self.head.weight.dtype)
        return frames, (height // patch_size, width // patch_size)


def new_head(d_vector: int, num_classes: int) -> nn.Linear:
    """Return a new linear head with small weights and zero bias.

    Args:
        d_vector: Width of its input.
        num_classes: Number of classes.
    """
    head = nn.Linear(d_vector, num_classes)
    nn.init.trunc_normal_(head.weight, std=0.02)
    nn.init.zeros_(head.bias)
    return head
