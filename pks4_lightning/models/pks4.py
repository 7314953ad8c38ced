"""PKS^4, the temporal module.

Reference:
    PKS^4, https://arxiv.org/abs/2604.26461, Section 3.1, Equations 1-7.

Dimensions:
    B: clips
    T: frames
    P: patches per frame
    L: tokens per frame, the patches last
    D: backbone width
    I: images, ``B * T``
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pks4_lightning.insertion import ClipLayout, Hooked, HookPoints, StreamFrames
from pks4_lightning.models.config import (
    PriorInit,
    PriorPrecision,
    Residual,
    ScannerKind,
    VariationEnds,
    ZeroContext,
)
from pks4_lightning.models.kinematic_prior import KinematicPriorEncoder, PriorState
from pks4_lightning.models.scan_controls import TemporalAttention, TemporalGRU
from pks4_lightning.models.scanner import KS4Scanner
from pks4_lightning.own_code import own_class

__all__ = ["PKS4Module", "PKS4State"]

_PRIOR_SCALES: dict[PriorInit, float] = {"default": 1.0, "small": 0.1, "zero": 0.0}


class PKS4State(NamedTuple):
    """The state of the module for a stream; initially zeros."""

    priors: tuple[PriorState, ...]
    scanner: Any
    """The scanner's own state; empty if there is no scanner."""
    waiting: Float[Tensor, "B N L D"]
    """Tokens of frames whose priors wait for later frames."""


class PKS4Module(Hooked):
    """Add kinematic priors to the patch tokens and scan every patch location along time.

    The output projection of a new scanner is zero, so a newly inserted module adds the priors and
    nothing else. They start small: it is near the identity, and exactly the identity with
    ``prior_init="zero"`` or ``residual="single"``.

    Args:
        d_model: Width of the tokens.
        use_correlation: Feed local correlations to the scanner.
        use_variation: Feed frame differences to the scanner.
        scanner: The KS4 scanner, or a replacement: ``none``, ``gru``, ``attention``, or a class of
            the user's own.
        bidirectional: Scan backwards in time too, with a second scanner; outputs are added.
        context_frames: Neighbouring frames used by the priors, even.
        zero_context: What a frame is compared with for 0 context frames: itself, or the previous.
        variation_ends: How the variation treats neighbours beyond the clip.
        window_size: Side of the correlation window in patches, odd.
        d_prior: Hidden width of the prior operators.
        d_state: State size of the scanner per channel.
        d_conv: Taps of the scanner's convolution over time.
        expand: Inner width of the scanner as a multiple of ``d_model``.
        dt_rank: Rank of the step size projection. ``None`` means ``ceil(d_model / 16)``.
        dt_min: Smallest initial step size of a KS4 scanner.
        dt_max: Largest initial step size of a KS4 scanner.
        residual: What the scanner's output is added to. ``post_prior``: the tokens with their
            priors. ``single``: the tokens. ``literal``: both, as in Equation 25 followed by
            Equation 5.
        prior_init: Initialisation of the priors' last projections: PyTorch's (``default``), a tenth
            of it (``small``), or ``zero``.
        prior_precision: ``fp32``: compare frames in float32 whatever the autocast.
        causal: Let the priors use past frames only.
    """

    def __init__(
        self,
        d_model: int,
        *,
        use_correlation: bool = True,
        use_variation: bool = True,
        scanner: ScannerKind | str = "mamba",
        bidirectional: bool = False,
        context_frames: int = 4,
        zero_context: ZeroContext = "self",
        variation_ends: VariationEnds = "zero",
        window_size: int = 9,
        d_prior: int = 64,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        dt_rank: int | None = None,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        residual: Residual = "post_prior",
        prior_init: PriorInit = "small",
        prior_precision: PriorPrecision = "autocast",
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.residual = residual
        self.prior_encoder = KinematicPriorEncoder(
            d_model,
            d_prior=d_prior,
            context_frames=context_frames,
            window_size=window_size,
            use_correlation=use_correlation,
            use_variation=use_variation,
            causal=causal,
            init_scale=_PRIOR_SCALES[prior_init],
            zero_context=zero_context,
            variation_ends=variation_ends,
            precision=prior_precision,
        )
        sizes: dict[str, Any] = {"d_state": d_state, "d_conv": d_conv, "expand": expand}
        sizes |= {"dt_rank": dt_rank, "dt_min": dt_min, "dt_max": dt_max}
        self.scanner = _new_scanner(scanner, d_model, **sizes)
        self.backward_scanner = _new_scanner(scanner, d_model, **sizes) if bidirectional else None

    def forward(self, tokens: Float[Tensor, "I L D"], layout: ClipLayout) -> Float[Tensor, "I L D"]:
        """Return the tokens with temporally modelled patches; other tokens are unchanged.

        Args:
            tokens: The output of a backbone block, class token and registers first; the frames of a
                clip are consecutive.
            layout: How images make up clips, and patches make up an image.
        """
        prefix, patches = _split(tokens, layout)
        with_priors = _as_sequences(self.prior_encoder(_on_grid(patches, layout)))
        update = None if self.scanner is None else self._scan(with_priors)
        return torch.cat([prefix, self._updated(patches, with_priors, update)], dim=1)

    @property
    def delay(self) -> int:
        """Number of later frames that a frame's tokens need.

        Raises:
            ValueError: If the module needs the whole clip.
        """
        if self.backward_scanner is not None:
            raise ValueError(
                "A bidirectional scan needs the end of the clip and cannot follow a stream: "
                "train with model.classifier.bidirectional false."
            )
        if isinstance(self.scanner, TemporalAttention):
            raise ValueError(
                "Attention along time reads the whole clip at once and cannot follow a stream: "
                "train with model.classifier.scanner mamba, gru or none."
            )
        if self.scanner is not None and not hasattr(self.scanner, "step"):
            raise ValueError(
                f"{type(self.scanner).__name__} has no initial_state and step, so this classifier "
                "cannot follow a stream: docs/extending.md describes them."
            )
        return self.prior_encoder.delay

    def initial_state(self, like: Float[Tensor, "B D H W"]) -> PKS4State:
        """Return the state before the first frame of streams."""
        num_streams, d_model, height, width = like.shape
        scanner = self._recurrent()
        return PKS4State(
            self.prior_encoder.initial_state(like),
            scanner.initial_state(num_streams, height * width) if scanner else (),
            like.new_zeros(
                num_streams, self.delay, self.layout.num_prefix_tokens + height * width, d_model
            ),
        )

    def num_patches(self, state: PKS4State) -> int:
        """Return the number of patches per frame that a stream's state is for."""
        return state.waiting.shape[2] - self.layout.num_prefix_tokens

    def step(
        self, tokens: Float[Tensor, "I L D"], layout: ClipLayout, stream: StreamFrames
    ) -> Float[Tensor, "I L D"]:
        """Return the temporally modelled tokens of the frames ``delay`` earlier.

        Args:
            tokens: Tokens of the next frames of streams.
            layout: How images make up streams, and patches make up an image.
            stream: The module's state and which frames exist; both are updated.
        """
        state: PKS4State = stream.states[self]
        _, patches = _split(tokens, layout)
        grid, exists, priors = self.prior_encoder.step(
            _on_grid(patches, layout), state.priors, stream.exists
        )
        with_priors = _as_sequences(grid)
        scanner, update, after = self._recurrent(), None, state.scanner
        if scanner is not None:
            update, after = scanner.step(with_priors, state.scanner, exists)
        frames = torch.cat([state.waiting, tokens.unflatten(0, (-1, layout.num_frames))], dim=1)
        num_frames = layout.num_frames
        # a slice would keep all frames in memory
        stream.states[self] = PKS4State(priors, after, frames[:, num_frames:].clone())
        stream.exists = exists
        prefix, patches = _split(frames[:, :num_frames].flatten(0, 1), layout)
        return torch.cat([prefix, self._updated(patches, with_priors, update)], dim=1)

    def _updated(self, patches: Tensor, with_priors: Tensor, update: Tensor | None) -> Tensor:
        if update is None:
            update = with_priors
        elif self.residual != "single":
            update = update + with_priors
        update = update.flatten(0, 1)
        return update if self.residual == "post_prior" else patches + update

    def _recurrent(self) -> Any:
        """Return the scanner; :attr:`delay` has refused one without steps."""
        return self.scanner

    def _scan(self, x: Float[Tensor, "B T P D"]) -> Float[Tensor, "B T P D"]:
        assert self.scanner is not None
        update: Tensor = self.scanner(x)
        if self.backward_scanner is not None:
            update = update + self.backward_scanner(x.flip(1)).flip(1)
        return update

    def attach(self, points: HookPoints) -> Iterator[RemovableHandle]:
        """Register the hook on a block's output."""
        yield points.block.register_forward_hook(self._after_block)

    def _after_block(self, _block: nn.Module, _args: Any, output: Tensor) -> Tensor:
        stream = self.layout.stream
        if stream is None:
            return self(output, self.layout)
        return self.step(output, self.layout, stream)


def _new_scanner(kind: ScannerKind | str, d_model: int, **sizes: Any) -> nn.Module | None:
    """Build a KS4 scanner of these sizes, a control of equal size, or the user's own."""
    if kind == "none":
        return None
    if kind == "mamba":
        return KS4Scanner(d_model, **sizes)
    if kind not in ("gru", "attention"):
        own = own_class(kind, setting="model.classifier.scanner")
        if not issubclass(own, nn.Module):
            raise ValueError(f"model.classifier.scanner names {kind}, which is not an nn.Module.")
        return own(d_model)
    with torch.device("meta"):
        number = sum(each.numel() for each in KS4Scanner(d_model, **sizes).parameters())
    control = TemporalGRU if kind == "gru" else TemporalAttention
    return control(d_model, num_parameters=number)


def _split(tokens: Float[Tensor, "I L D"], layout: ClipLayout) -> tuple[Tensor, Tensor]:
    """View prefix and patches: split once, their gradients are joined by one copy."""
    num_prefix = layout.num_prefix_tokens
    prefix, patches = tokens.split([num_prefix, tokens.shape[1] - num_prefix], dim=1)
    return prefix, patches


def _on_grid(patches: Float[Tensor, "I P D"], layout: ClipLayout) -> Float[Tensor, "B T D H W"]:
    clips = patches.unflatten(0, (-1, layout.num_frames))
    return clips.unflatten(2, layout.grid_size).permute(0, 1, 4, 2, 3)


def _as_sequences(grid: Float[Tensor, "B T D H W"]) -> Float[Tensor, "B T P D"]:
    return grid.permute(0, 1, 3, 4, 2).flatten(2, 3)
