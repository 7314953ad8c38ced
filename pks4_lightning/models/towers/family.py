"""Description of a family of image transformers: names, tokens, sizes.

A family is data: the names of its tower, its configuration and its blocks in transformers.

Dimensions:
    I: images
    C: RGB
    H, W: pixels
    D: width of a frame's vector
    L: tokens of an image
    E: width of a token
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from pks4_lightning.batch import CLIP_MEAN, CLIP_STD, Colour
from pks4_lightning.insertion import HookPoints, InnerPoints, TowerPoints

__all__ = ["IMAGENET", "OPENAI", "Colours", "InnerNames", "TowerFamily"]


@dataclass(frozen=True)
class Colours:
    """RGB mean and standard deviation for normalising frames with values from 0 to 1."""

    mean: Colour
    std: Colour


OPENAI = Colours(CLIP_MEAN, CLIP_STD)
IMAGENET = Colours((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, kw_only=True)
class InnerNames:
    """Names that the methods of :mod:`pks4_lightning.peers` need, which require a class token.

    Args:
        attention: Within a block.
        queries: Within a block, its projection to queries.
        keys: Within a block, its projection to keys.
        mlp: Within a block.
        embeddings: Path of the module that puts out the first tokens.
        final_norm: Path of the norm of the class token behind the blocks.
        projection: Path of what follows that norm, which these methods do without; ``None`` where
            nothing does.
    """

    attention: str
    queries: str
    keys: str
    mlp: str
    embeddings: str
    final_norm: str
    projection: str | None = None


@dataclass(frozen=True, kw_only=True)
class TowerFamily:
    """Layout of the image transformers that share a ``model_type``.

    Args:
        name: Name of the family, as used in the field.
        model_type: Value in the ``config.json`` of a stand-alone tower.
        whole_model_type: Value for a model whose ``vision_config`` describes the tower.
        config_class: Name of the configuration class in transformers.
        model_class: Name of the model class in transformers.
        model_arguments: Keyword arguments of the model class.
        fields: Fields of the configuration that determine the architecture, its initialisation or
            its regularisation. All have plain values.
        outer_fields: Those that are beside ``vision_config`` in a complete model.
        blocks: Path of the list of blocks.
        attention_norm: Name, within a block, of the norm before the attention.
        attention_add: Name, within a block, of the module whose output is added to the residual
            stream. If a block calls it again after the MLP, the first call counts.
        inner: More names; ``None`` if the methods that need them cannot be used.
        before_blocks: Paths of the modules with parameters before the blocks.
        has_class_token: Whether the first token is a class token.
        registers: Field with the number of register tokens, which follow the class token.
        frame_vector: The vector of a frame: the projected class token, the class token after the
            last norm, or the output of the pooling head (if a tower has none, the mean over the
            patches after the last norm).
        width: Field with the width of that vector.
        any_size: ``flag`` interpolates position embeddings on request, ``free`` always does or
            needs none, ``fixed`` supports only its own grid of patches.
        free_if: Field that makes a ``fixed`` tower ``free``.
        undecayed: Last parts of the names of parameters without weight decay, besides biases, layer
            norms and embedding tables.
        unused: Parameters that no forward pass uses, such as the token of masked pretraining.
        left_behind: First parts of the names of tensors in a file that the tower does not have.
        whole_prefix: First part of the names of the tower's tensors in a complete model, if
            transformers does not find it by itself.
        colours: Default normalisation if there is no preprocessor file.
        frame_size: Default size in pixels if there is no such file, for a tower whose position
            embeddings are for larger images; ``None`` uses the size of the position embeddings.
    """

    name: str
    model_type: str
    whole_model_type: str | None = None
    config_class: str
    model_class: str
    model_arguments: Mapping[str, Any] = field(default_factory=dict)
    fields: tuple[str, ...]
    outer_fields: tuple[str, ...] = ()
    blocks: str
    attention_norm: str
    attention_add: str
    inner: InnerNames | None = None
    before_blocks: tuple[str, ...] = ("embeddings",)
    has_class_token: bool
    registers: str | None = None
    frame_vector: Literal["projection", "class_token", "pooling"]
    width: str = "hidden_size"
    any_size: Literal["flag", "free", "fixed"]
    free_if: str | None = None
    undecayed: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    left_behind: tuple[str, ...] = ()
    whole_prefix: str | None = None
    colours: Colours
    frame_size: int | None = None

    def num_prefix_tokens(self, config: Any) -> int:
        """Return the number of tokens before the patches: class token and registers.

        Args:
            config: The tower's configuration.
        """
        registers = 0 if self.registers is None else getattr(config, self.registers)
        return self.has_class_token + registers

    def is_fixed(self, config: Any) -> bool:
        """Return whether a tower supports only its own grid of patches.

        Args:
            config: The tower's configuration.
        """
        return self.any_size == "fixed" and not (self.free_if and getattr(config, self.free_if))

    def hook_points(self, tower: nn.Module) -> list[HookPoints]:
        """Return the hook points of each block, first block first.

        Args:
            tower: The tower.
        """
        return [
            HookPoints(
                block=block,
                attention_norm=block.get_submodule(self.attention_norm),
                attention_add=block.get_submodule(self.attention_add),
                inner=None if self.inner is None else _inner_points(block, self.inner),
            )
            for block in self._blocks(tower)
        ]

    def tower_points(self, tower: nn.Module) -> TowerPoints:
        """Return the hook points of a tower, for methods that act in several blocks.

        Args:
            tower: The tower.

        Raises:
            ValueError: If these methods do not support the family.
        """
        if self.inner is None:
            raise ValueError(
                f"{self.name} is no tower for this method, which needs a class token and blocks "
                "laid out as CLIP's: choose a CLIP or ViT backbone, or --model.classifier.temporal "
                "pks4, tsm or frame_average."
            )
        return TowerPoints(
            embeddings=tower.get_submodule(self.inner.embeddings),
            blocks=self.hook_points(tower),
            final_norm=tower.get_submodule(self.inner.final_norm),
        )

    def drop_projection(self, tower: nn.Module) -> None:
        """Remove the projection after the norm of the class token.

        Args:
            tower: The tower, of a family with inner names.
        """
        assert self.inner is not None
        if self.inner.projection is not None:
            tower.set_submodule(self.inner.projection, nn.Identity())

    def parameters_by_depth(self, tower: nn.Module) -> Iterator[tuple[int, str, nn.Module]]:
        """Yield the tower's parts up to the last block by their distance from the pixels.

        Args:
            tower: The tower.

        Yields:
            Depth, path and module: 0 for what comes before the blocks, ``i`` for block ``i``
            counted from 1.
        """
        for path in self.before_blocks:
            yield 0, path, tower.get_submodule(path)
        for index, block in enumerate(self._blocks(tower)):
            yield index + 1, f"{self.blocks}.{index}", block

    def frame_vectors(
        self, tower: nn.Module, frames: Float[Tensor, "I C H W"]
    ) -> Float[Tensor, "I D"]:
        """Run the tower and return the vector of each frame.

        Args:
            tower: The tower.
            frames: Normalised frames, of a size that its patches cover.

        Raises:
            ValueError: If it supports only frames of its own size.
        """
        return self._vectors(tower, frames)

    def tokens_after(
        self, tower: nn.Module, frames: Float[Tensor, "I C H W"], num_blocks: int
    ) -> Float[Tensor, "I L E"]:
        """Run the tower up to a block and return the tokens after it.

        Args:
            tower: The tower.
            frames: As in :meth:`frame_vectors`.
            num_blocks: The block, counted from 1. Hooks on its output do not act.
        """
        block = self._blocks(tower)[num_blocks - 1]
        handle = block.register_forward_hook(_stop, prepend=True)
        try:
            self._vectors(tower, frames)
        except _ReachedError as reached:
            return reached.tokens
        finally:
            handle.remove()
        raise AssertionError("a tower runs all its blocks")

    def vectors_from(
        self,
        tower: nn.Module,
        tokens: Float[Tensor, "I L E"],
        num_blocks: int,
        *,
        frame_size: int,
    ) -> Float[Tensor, "I D"]:
        """Run the tower after a block, with the result of :meth:`frame_vectors` for these frames.

        Args:
            tower: The tower. It is modified for the duration of the call.
            tokens: The tokens after block ``num_blocks``.
            num_blocks: The last block that has run, counted from 1.
            frame_size: Side of the frames in pixels.
        """
        holder, _, name = self.blocks.rpartition(".")
        blocks = self._blocks(tower)
        # the tower runs on one blank frame, but its next block receives the tokens instead
        config: Any = tower.config
        blank = next(tower.parameters()).new_zeros(1, config.num_channels, frame_size, frame_size)
        rest = nn.ModuleList([_Given(tokens), *blocks[num_blocks:]])
        setattr(tower.get_submodule(holder), name, rest)
        try:
            return self._vectors(tower, blank)
        finally:
            setattr(tower.get_submodule(holder), name, blocks)

    def _vectors(self, tower: nn.Module, frames: Tensor) -> Tensor:
        config: Any = tower.config
        is_own = frames.shape[2:] == (config.image_size, config.image_size)
        if not is_own and self.is_fixed(config):
            grid = config.image_size // config.patch_size
            raise ValueError(
                f"This {self.name} tower cannot interpolate its position embeddings: frames must "
                f"be cut into {grid}x{grid} patches (--model.classifier.grid_size own)."
            )
        options = {"interpolate_pos_encoding": not is_own} if self.any_size == "flag" else {}
        outputs = tower(pixel_values=frames, **options)
        if self.frame_vector == "projection":
            return outputs.image_embeds
        if self.frame_vector == "class_token":
            return outputs.last_hidden_state[:, 0]
        if outputs.pooler_output is not None:
            return outputs.pooler_output
        return outputs.last_hidden_state[:, self.num_prefix_tokens(config) :].mean(1)

    def _blocks(self, tower: nn.Module) -> nn.ModuleList:
        blocks = tower.get_submodule(self.blocks)
        assert isinstance(blocks, nn.ModuleList)
        return blocks


class _ReachedError(Exception):
    """Carries the requested tokens out of the forward pass, whose rest need not run."""

    def __init__(self, tokens: Tensor) -> None:
        super().__init__()
        self.tokens = tokens


def _stop(_block: nn.Module, _args: Any, output: Tensor) -> None:
    raise _ReachedError(output)


class _Given(nn.Module):
    """Replaces blocks whose output is known."""

    def __init__(self, tokens: Tensor) -> None:
        super().__init__()
        self.tokens = tokens

    def forward(self, *_args: Any, **_options: Any) -> Tensor:
        return self.tokens


def _inner_points(block: nn.Module, names: InnerNames) -> InnerPoints:
    return InnerPoints(
        attention=block.get_submodule(names.attention),
        queries=block.get_submodule(names.queries),
        keys=block.get_submodule(names.keys),
        mlp=block.get_submodule(names.mlp),
    )
