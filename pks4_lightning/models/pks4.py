"""PKS^4, the one temporal module of the network.

Reference:
    PKS^4, https://arxiv.org/abs/2604.26461, Section 3.1, Equations 1-7.

Dimensions:
    B: clips
    T: frames
    P: patches per frame
    L: tokens per frame, ``P + 1``
    D: backbone width
    I: images, ``B * T``
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pks4_lightning.models.config import Residual
from pks4_lightning.models.insertion import ClipLayout, Hooked, HookPoints
from pks4_lightning.models.kinematic_prior import KinematicPriorEncoder
from pks4_lightning.models.scanner import KS4Scanner

__all__ = ["PKS4Module"]


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
        """Return the tokens with temporally modelled patches; class tokens pass unchanged.

        Args:
            tokens: The output of a backbone block, class token first; the frames of a clip follow
                each other.
            layout: How the images make up clips, and the patches an image.
        """
        class_token, patches = tokens[:, :1], tokens[:, 1:]
        clips = patches.unflatten(0, (-1, layout.num_frames))
        grid = clips.unflatten(2, layout.grid_size).permute(0, 1, 4, 2, 3)
        with_priors = self.prior_encoder(grid).permute(0, 1, 3, 4, 2).flatten(2, 3)
        update = self._scan(with_priors)
        if self.residual == "literal":
            update = update + with_priors
        return torch.cat([class_token, patches + update.flatten(0, 1)], dim=1)

    def _scan(self, x: Float[Tensor, "B T P D"]) -> Float[Tensor, "B T P D"]:
        update = self.scanner(x)
        if self.backward_scanner is not None:
            update = update + self.backward_scanner(x.flip(1)).flip(1)
        return update

    def attach(self, points: HookPoints) -> Iterator[RemovableHandle]:
        """Register the hook on a block's output."""
        yield points.block.register_forward_hook(self._after_block)

    def _after_block(self, _block: nn.Module, _args: Any, output: Tensor) -> Tensor:
        return self(output, self.layout)
