"""PKS^4, the one temporal module of the network.

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
from pks4_lightning.models.config import Residual
from pks4_lightning.models.kinematic_prior import KinematicPriorEncoder, PriorState
from pks4_lightning.models.scanner import KS4Scanner, ScannerState

__all__ = ["PKS4Module", "PKS4State"]


class PKS4State(NamedTuple):
    """What the module remembers of a stream; zeros at its start."""

    priors: tuple[PriorState, ...]
    scanner: ScannerState
    waiting: Float[Tensor, "B N L D"]
    """Tokens of the frames whose priors wait for later frames."""


class PKS4Module(Hooked):
    """Add kinematic priors to the patch tokens and scan every patch location along time.

    The output projection of a new scanner is zero: with ``residual="single"`` a freshly inserted
    module changes nothing.

    Args:
        d_model: Width of the tokens.
        use_correlation: Feed local correlations to the scanner.
        use_variation: Feed frame differences to the scanner.
        bidirectional: Scan backwards in time too, with a second scanner; outputs are added.
        context_frames: Neighbouring frames the priors see, even.
        window_size: Side of the correlation window in patches, odd.
        d_prior: Hidden width of the prior operators.
        d_state: State size of the scanner per channel.
        d_conv: Taps of the scanner's convolution over time.
        expand: Inner width of the scanner as a multiple of ``d_model``.
        dt_rank: Rank of the step size projection. ``None`` means ``ceil(d_model / 16)``.
        residual: ``single``: tokens plus scan. ``literal``: the scanner's input once more, as
            Equation 25 followed by Equation 5 has it.
        causal: Take the priors' neighbouring frames from the past alone.

    Raises:
        ValueError: If it is to be causal and bidirectional.
    """

    def __init__(
        self,
        d_model: int,
        *,
        use_correlation: bool = True,
        use_variation: bool = True,
        bidirectional: bool = False,
        context_frames: int = 4,
        window_size: int = 9,
        d_prior: int = 64,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        dt_rank: int | None = None,
        residual: Residual = "single",
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
        )
        self.scanner = KS4Scanner(
            d_model, d_state=d_state, d_conv=d_conv, expand=expand, dt_rank=dt_rank
        )
        self.backward_scanner = (
            KS4Scanner(d_model, d_state=d_state, d_conv=d_conv, expand=expand, dt_rank=dt_rank)
            if bidirectional
            else None
        )

    def forward(self, tokens: Float[Tensor, "I L D"], layout: ClipLayout) -> Float[Tensor, "I L D"]:
        """Return the tokens with temporally modelled patches; the others pass unchanged.

        Args:
            tokens: The output of a backbone block, class token and registers first; the frames of a
                clip follow each other.
            layout: How the images make up clips, and the patches an image.
        """
        with_priors = _as_sequences(self.prior_encoder(_on_grid(tokens, layout)))
        return self._add(tokens, with_priors, self._scan(with_priors))

    @property
    def delay(self) -> int:
        """Frames that must follow before a frame's tokens are known.

        Raises:
            ValueError: If that is the whole clip.
        """
        if self.backward_scanner is not None:
            raise ValueError(
                "A bidirectional scan sees the end of the clip first and cannot follow a stream: "
                "train with model.classifier.bidirectional false."
            )
        return self.prior_encoder.delay

    def initial_state(self, like: Float[Tensor, "B D H W"]) -> PKS4State:
        """Return the state before the first frame of streams."""
        num_streams, d_model, height, width = like.shape
        return PKS4State(
            self.prior_encoder.initial_state(like),
            self.scanner.initial_state(num_streams, height * width),
            like.new_zeros(
                num_streams, self.delay, self.layout.num_prefix_tokens + height * width, d_model
            ),
        )

    def step(
        self, tokens: Float[Tensor, "I L D"], layout: ClipLayout, stream: StreamFrames
    ) -> Float[Tensor, "I L D"]:
        """Return the tokens of the frames ``delay`` earlier, temporally modelled.

        Args:
            tokens: Of the next frames of streams.
            layout: How the images make up streams, and the patches an image.
            stream: The module's state and which frames exist; both are replaced.
        """
        state: PKS4State = stream.states[self]
        grid, exists, priors = self.prior_encoder.step(
            _on_grid(tokens, layout), state.priors, stream.exists
        )
        with_priors = _as_sequences(grid)
        update, scanner = self.scanner.step(with_priors, state.scanner, exists)
        frames = torch.cat([state.waiting, tokens.unflatten(0, (-1, layout.num_frames))], dim=1)
        num_frames = layout.num_frames
        # a slice would keep all frames in memory
        stream.states[self] = PKS4State(priors, scanner, frames[:, num_frames:].clone())
        stream.exists = exists
        return self._add(frames[:, :num_frames].flatten(0, 1), with_priors, update)

    def _add(self, tokens: Tensor, with_priors: Tensor, update: Tensor) -> Tensor:
        if self.residual == "literal":
            update = update + with_priors
        num_prefix = tokens.shape[1] - update.shape[2]
        prefix, patches = tokens[:, :num_prefix], tokens[:, num_prefix:]
        return torch.cat([prefix, patches + update.flatten(0, 1)], dim=1)

    def _scan(self, x: Float[Tensor, "B T P D"]) -> Float[Tensor, "B T P D"]:
        update = self.scanner(x)
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


def _on_grid(tokens: Float[Tensor, "I L D"], layout: ClipLayout) -> Float[Tensor, "B T D H W"]:
    clips = tokens[:, layout.num_prefix_tokens :].unflatten(0, (-1, layout.num_frames))
    return clips.unflatten(2, layout.grid_size).permute(0, 1, 4, 2, 3)


def _as_sequences(grid: Float[Tensor, "B T D H W"]) -> Float[Tensor, "B T P D"]:
    return grid.permute(0, 1, 3, 4, 2).flatten(2, 3)
