"""The classifier: an image transformer applied per frame, PKS^4 inside it, a mean over frames.

Reference:
    PKS^4, https://arxiv.org/abs/2604.26461, Sections 3.1 and 3.2, Equations 8-9.

Dimensions:
    B: clips
    C: RGB
    T: frames
    H, W: pixels
    R, Q: rows and columns of patches
    K: classes
    L: tokens per frame
    E: width of a token
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pks4_lightning.insertion import ClipLayout, Hooked, HookPoints, StreamFrames
from pks4_lightning.models.class_route import ClassTokenRoute, PatchTokenShift, PooledRoute
from pks4_lightning.models.config import ClassRoute, TsmShifts
from pks4_lightning.models.pks4 import PKS4Module
from pks4_lightning.models.towers.families import family_of
from pks4_lightning.models.towers.family import TowerFamily
from pks4_lightning.models.video_classifier import VideoClassifier, new_head
from pks4_lightning.ops.autocast import without_autocast

__all__ = ["PKS4Classifier", "StreamState"]

_Route = ClassTokenRoute | PatchTokenShift | PooledRoute


class StreamState(NamedTuple):
    """The state of streams, a pytree of tensors whose first axis is the stream.

    All zeros is the state before the first frame: a stream is restarted by setting its part of
    every tensor to zero.
    """

    modules: tuple[Any, ...]
    """State of each inserted module, in the order of the blocks."""
    total: Float[Tensor, "B D"]
    """Sum of the frames' embeddings so far, in at least float32."""
    num_seen: Float[Tensor, " B"]
    """Number of these frames, in at least float32: bfloat16 counts to 256."""


class PKS4Classifier(VideoClassifier):
    """Classify clips with a per-frame image backbone and temporal modules hooked into it.

    The backbone is not modified. It determines the vector of a frame: for CLIP the class token,
    normalised and projected (the paper's C = 512, 768 for ViT-L), or the output of an attention
    pooling head over the patches.

    Args:
        backbone: Image transformer of one of the supported families.
        num_classes: Number of action classes.
        class_route: The exchange between frames in every block, or after the last one.
        route_from: First block with that exchange, counted from 1.
        tsm_shifts: What the route ``tsm`` shifts.
        causal: Restrict that exchange to past frames; ``pks4`` has its own setting.
        pks4: The temporal module; ``None`` for the baseline of Table 5.
        insert_after: Block after which ``pks4`` acts, counted from 1.
        grid_size: Rows and columns of patches that every frame is cut into, whatever its size.
            ``None``: patches have the backbone's own size.

    Raises:
        ValueError: If the family of the backbone is not supported or has no class token for the
            route, or if nothing reads the patches after block ``insert_after``.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        num_classes: int,
        class_route: ClassRoute = "token_t1d",
        route_from: int = 1,
        tsm_shifts: TsmShifts = "attention",
        causal: bool = False,
        pks4: PKS4Module | None = None,
        insert_after: int = 8,
        grid_size: int | None = None,
    ) -> None:
        config: Any = backbone.config
        super().__init__(own_patch_size=config.patch_size, grid_size=grid_size)
        self.family = family_of(config.model_type, where="backbone")
        points = self.family.hook_points(backbone)
        _check_places(self.family, len(points), class_route, insert_after if pks4 else 1)
        self.backbone = backbone
        self.d_model: int = config.hidden_size
        self.causal = causal
        self.pks4 = pks4
        self.insert_after = insert_after
        routed = points[route_from - 1 :]
        routes = _build_route(
            class_route, self.d_model, len(routed), tsm_shifts=tsm_shifts, causal=causal
        )
        self.num_blocks = len(points)
        self.first_route = route_from if routes else self.num_blocks + 1
        self.class_route = nn.ModuleList(routes)
        d_frame: int = getattr(config, self.family.width)
        self.pooled_route = (
            PooledRoute(d_frame, causal=causal) if class_route == "pooled_t1d" else None
        )
        self.head = new_head(d_frame, num_classes)

        self._layout = ClipLayout(num_prefix_tokens=self.family.num_prefix_tokens(config))
        inserted: list[tuple[Hooked, HookPoints]] = [*zip(routes, routed, strict=False)]
        if pks4 is not None:
            inserted.append((pks4, points[insert_after - 1]))
        if self.pooled_route is not None:
            inserted.append((self.pooled_route, points[-1]))
        self._inserted = [module for module, _ in inserted]
        for module, point in inserted:
            module.insert(point, self._layout)

    def forward(
        self,
        video: Float[Tensor, "B C T H W"] | Float[Tensor, "B T L E"],
        patch_size: int | None = None,
    ) -> Float[Tensor, "B K"] | Float[Tensor, "B T K"]:
        """Return the logits of each clip; see the base class.

        Clips may be given as pixels or as :meth:`trunk_tokens`.

        In training with :attr:`answers_prefixes` set, return the logits of every prefix.
        """
        if not (self.training and self.answers_prefixes):
            return self._classify(self.clip_vectors(video, patch_size))
        embeddings = self.frame_vectors(video, patch_size)
        num_seen = torch.arange(1, embeddings.shape[1] + 1, device=embeddings.device)
        total = embeddings.to(_at_least_float32(embeddings)).cumsum(1)
        return self._classify(total / num_seen.unsqueeze(-1))

    def clip_vectors(
        self,
        video: Float[Tensor, "B C T H W"] | Float[Tensor, "B T L E"],
        patch_size: int | None = None,
    ) -> Float[Tensor, "B D"]:
        """Return the mean over frames; see the base class."""
        return self.frame_vectors(video, patch_size).mean(1)

    def trunk(self) -> Sequence[nn.Module]:
        """Return the tower up to the block before PKS^4, if no route comes earlier.

        Raises:
            ValueError: If a route comes earlier, or the tower has fewer blocks.
        """
        if self.insert_after > self.num_blocks:
            raise ValueError(
                f"insert_after is {self.insert_after}, but the tower has {self.num_blocks} blocks: "
                "set --model.classifier.insert_after to the last block that stays frozen."
            )
        if self.first_route <= self.insert_after:
            raise ValueError(
                f"Frames already interact in block {self.first_route}, but the frozen part ends "
                f"with block {self.insert_after}: set --model.classifier.route_from "
                f"{self.insert_after + 1} (or class_route none), or --model.recipe.trains all."
            )
        return [part for depth, _, part in self.parts_by_depth() if depth <= self.insert_after]

    def trunk_tokens(
        self, video: Float[Tensor, "B C T H W"], patch_size: int | None = None
    ) -> Float[Tensor, "B T L E"]:
        """Return the tokens after block ``insert_after``, before PKS^4; see the base class.

        Raises:
            ValueError: Also if frames are not square, because tokens do not say their grid.
        """
        self.trunk()
        frames, self._layout.grid_size = self._frames(video, patch_size)
        rows, columns = self._layout.grid_size
        if rows != columns:
            raise ValueError(
                f"Frames have {rows} x {columns} patches, and tokens can only stand for square "
                "frames: crop them, or classify the clips themselves."
            )
        self._layout.num_frames = video.shape[2]
        tokens = self.family.tokens_after(self.backbone, frames, self.insert_after)
        return tokens.unflatten(0, (-1, video.shape[2]))

    def parts(self) -> dict[str, Sequence[nn.Module]]:
        """Return the tower, the inserted modules and the head by name."""
        encoder = None if self.pks4 is None else self.pks4.prior_encoder
        scanner = None if self.pks4 is None else self.pks4.scanner
        title = "KS4 scanner" if scanner is None else getattr(scanner, "title", None)
        parts = {
            "vision tower": self.backbone,
            "class-token route": self.class_route,
            "correlation": encoder and encoder.correlation,
            "variation": encoder and encoder.variation,
            title or type(scanner).__name__: scanner,
            "backward scanner": self.pks4 and self.pks4.backward_scanner,
            "pooled route": self.pooled_route,
            "head": self.head,
        }
        return {name: [part] for name, part in parts.items() if part is not None}

    def parts_within(self) -> Sequence[str]:
        """Return the names of the parts called by hooks."""
        outside = ("vision tower", "pooled route", "head")
        return [name for name in self.parts() if name not in outside]

    def parts_by_depth(self) -> Iterator[tuple[int, str, nn.Module]]:
        """Yield the tower's parts by depth."""
        for depth, path, part in self.family.parameters_by_depth(self.backbone):
            yield depth, f"backbone.{path}", part

    def undecayed_names(self) -> set[str]:
        """Return the names given by the tower's family."""
        last_parts = tuple(f".{last}" for last in self.family.undecayed)
        return {
            f"backbone.{name}"
            for name, _ in self.backbone.named_parameters()
            if f".{name}".endswith(last_parts)
        }

    @property
    def delay(self) -> int:
        """Number of later frames that a frame's prediction needs; 0 if causal.

        Raises:
            ValueError: If the classifier cannot follow a stream; the message names the setting.
        """
        for module in self._inserted:
            if isinstance(module, _Route) and not module.causal:
                raise ValueError(
                    "The class-token route uses later frames in every block, so this classifier "
                    "cannot follow a stream: train with model.classifier.causal true (or "
                    "class_route none), or classify the stream in windows, --mode window."
                )
        return 0 if self.pks4 is None else self.pks4.delay

    def initial_state(self, num_streams: int = 1, *, size: int | None = None) -> StreamState:
        """Return the state before the first frame of streams: zeros.

        Args:
            num_streams: Number of streams that are followed in parallel.
            size: Side of their frames, which are square, in pixels. ``None``: the backbone's own.

        Raises:
            ValueError: If the classifier cannot follow a stream, or patches do not cover a frame.
        """
        _ = self.delay
        config: Any = self.backbone.config
        size = size or config.image_size
        rows = size // self._patch_size(size, size)
        weight = self.head.weight
        like = weight.new_zeros(num_streams, self.d_model, rows, rows)
        return StreamState(
            tuple(module.initial_state(like) for module in self._inserted),
            weight.new_zeros(num_streams, weight.shape[1], dtype=_at_least_float32(weight)),
            weight.new_zeros(num_streams, dtype=_at_least_float32(weight)),
        )

    def step(
        self, frame: Float[Tensor, "B C H W"], state: StreamState
    ) -> tuple[Float[Tensor, "B K"], StreamState]:
        """Return the logits of all frames so far, and the state, after one more frame.

        Args:
            frame: The next frame of each stream.
            state: State after the preceding frames. It is not modified.

        Raises:
            ValueError: As :meth:`steps`.
        """
        logits, state = self.steps(frame.unsqueeze(2), state)
        return logits[:, 0], state

    def steps(
        self,
        frames: Float[Tensor, "B C T H W"],
        state: StreamState,
        exists: Float[Tensor, "B T"] | None = None,
    ) -> tuple[Float[Tensor, "B T K"], StreamState]:
        """Return the logits after each of the next frames, equal to `forward` on all frames so far.

        Memory and time per frame do not depend on the number of frames.

        Args:
            frames: The next frames of each stream, any number.
            state: State after the preceding frames. It is not modified.
            exists: 0 for frames before the start or after the end of a stream, if streams of
                different lengths are followed in parallel. ``None``: all frames exist.

        Returns:
            Logits of the mean over the frames processed so far, which lag by :attr:`delay`; NaN if
            there are none yet.

        Raises:
            ValueError: If the classifier is in training mode, or the state is that of another
                number of streams or of frames of another size.
        """
        self._check_stream(frames, state)
        vectors, answered, modules = self._advance(frames, state, exists)
        answered = answered.to(state.num_seen.dtype)
        with without_autocast(vectors.device):
            total = state.total.unsqueeze(1) + (vectors * answered.unsqueeze(-1)).cumsum(1)
            num_seen = state.num_seen.unsqueeze(1) + answered.cumsum(1)
            logits = self._classify(total / num_seen.unsqueeze(-1))
        # slices would keep all frames in memory
        return logits, StreamState(modules, total[:, -1].clone(), num_seen[:, -1].clone())

    def flush(self, state: StreamState) -> Float[Tensor, "B T K"]:
        """Return the logits after each of the last :attr:`delay` frames of ended streams.

        Args:
            state: State after the last frame.
        """
        num_streams = len(state.total)
        if not self.delay:
            return self.head.weight.new_empty(num_streams, 0, self.head.out_features)
        assert self.pks4 is not None
        rows, columns = state.modules[self._inserted.index(self.pks4)].priors[0].reduced.shape[-2:]
        side = self.own_patch_size
        frames = self.head.weight.new_zeros(num_streams, 3, self.delay, rows * side, columns * side)
        logits, _ = self.steps(frames, state, frames.new_zeros(num_streams, self.delay))
        return logits

    def _check_stream(self, frames: Tensor, state: StreamState) -> None:
        """Refuse frames that a state cannot be continued with."""
        if self.training:
            raise ValueError(
                "This classifier is in training mode, in which frames of one stream would change "
                "the answers of others: call eval() before it follows streams."
            )
        self._check_clips(frames)
        num_streams = state.total.shape[0]  # not len, which would be constant in an exported graph
        if frames.shape[0] != num_streams:
            raise ValueError(
                f"The state is of {num_streams} streams, and frames are of {frames.shape[0]}: "
                "initial_state takes their number, num_streams."
            )
        height, width = frames.shape[3:]
        patch_size = self._patch_size(height, width)
        rows, columns = height // patch_size, width // patch_size
        for module, part in zip(self._inserted, state.modules, strict=True):
            num_patches = module.num_patches(part)
            if num_patches is not None and not rows == columns == math.isqrt(num_patches):
                side = math.isqrt(num_patches)
                raise ValueError(
                    f"The state is of frames with {side} x {side} patches, and a frame of "
                    f"{height} x {width} pixels has {rows} x {columns}: initial_state takes the "
                    "side of the frames, size, and they must be square."
                )

    def _advance(
        self, frames: Tensor, state: StreamState, exists: Tensor | None
    ) -> tuple[Tensor, Tensor, tuple[Any, ...]]:
        """Return the vectors of frames that are now complete, which of them exist, and states."""
        stream = StreamFrames(dict(zip(self._inserted, state.modules, strict=True)), exists)
        self._layout.stream = stream
        try:
            vectors = self.frame_vectors(frames)
        finally:
            self._layout.stream = None
        answered = vectors.new_ones(vectors.shape[:2])
        if stream.exists is not None:
            answered = stream.exists.to(vectors.dtype)
        return vectors, answered, tuple(stream.states[module] for module in self._inserted)

    def frame_vectors(
        self,
        video: Float[Tensor, "B C T H W"] | Float[Tensor, "B T L E"],
        patch_size: int | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Return the vector of each frame, in the precision of the head, which reads their mean.

        Args:
            video: As in :meth:`forward`.
            patch_size: As in :meth:`forward`.
        """
        if video.ndim == 4 and video.shape[-1] != self.d_model:
            self._check_clips(video)
        if video.ndim == 4:
            num_frames = video.shape[1]
            vectors = self._vectors_of_tokens(video)
        else:
            frames, self._layout.grid_size = self._frames(video, patch_size)
            num_frames = self._layout.num_frames = video.shape[2]
            vectors = self.family.frame_vectors(self.backbone, frames)
        embeddings = vectors.to(self.head.weight.dtype).unflatten(0, (-1, num_frames))
        return embeddings if self.pooled_route is None else self.pooled_route(embeddings)

    def _vectors_of_tokens(self, tokens: Float[Tensor, "B T L E"]) -> Tensor:
        """Run the part after the trunk, for clips with square frames."""
        self.trunk()
        side = math.isqrt(tokens.shape[2] - self._layout.num_prefix_tokens)
        self._layout.grid_size = (side, side)
        self._layout.num_frames = tokens.shape[1]
        images = tokens.flatten(0, 1)
        if self.pks4 is not None:
            images = self.pks4(images, self._layout)
        return self.family.vectors_from(
            self.backbone, images, self.insert_after, frame_size=side * self.own_patch_size
        )

    def patch_vectors(
        self, video: Float[Tensor, "B C T H W"], patch_size: int | None = None
    ) -> Float[Tensor, "B T D R Q"]:
        """Return the patches of each frame after the last block, on their grid.

        Args:
            video: As in :meth:`forward`.
            patch_size: As in :meth:`forward`.
        """
        seen: list[Any] = []
        last = self.family.hook_points(self.backbone)[-1].block
        handle = last.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
        try:
            self.frame_vectors(video, patch_size)
        finally:
            handle.remove()
        tokens = seen[0] if isinstance(seen[0], Tensor) else seen[0][0]
        patches = tokens[:, self._layout.num_prefix_tokens :].transpose(1, 2)
        return patches.unflatten(2, self._layout.grid_size).unflatten(0, (len(video), -1))


def _at_least_float32(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _check_places(
    family: TowerFamily, num_blocks: int, class_route: ClassRoute, insert_after: int
) -> None:
    """Refuse settings that the backbone does not support."""
    # A pooling head reads the patches after the last block; a class token does not.
    last = num_blocks - family.has_class_token
    if not 1 <= insert_after <= last:
        reason = ", and after the last block no class token reads the patches any more"
        raise ValueError(
            f"insert_after ({insert_after}) must be between 1 and {last}: this backbone has "
            f"{num_blocks} blocks{reason if family.has_class_token else ''}."
        )
    if class_route in ("token_t1d", "token_shift") and not family.has_class_token:
        raise ValueError(
            f"class_route {class_route} needs a class token, and {family.name} has none: set "
            "--model.classifier.class_route to none, tsm or pooled_t1d."
        )


def _build_route(
    kind: ClassRoute, d_model: int, num_blocks: int, *, tsm_shifts: TsmShifts, causal: bool
) -> Sequence[ClassTokenRoute | PatchTokenShift]:
    match kind:
        case "none" | "pooled_t1d":
            return []
        case "tsm":
            return [PatchTokenShift(shifts=tsm_shifts, causal=causal) for _ in range(num_blocks)]
        case "token_t1d" | "token_shift":
            return [ClassTokenRoute(d_model, kind=kind, causal=causal) for _ in range(num_blocks)]
