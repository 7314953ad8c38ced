"""A depthwise convolution over three frames, in the tokens' own layout.

Dimensions:
    B: clips
    T: frames
    P: patches per frame
    D: width
"""

from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["TimeConvolution"]


class TimeConvolution(nn.Module):
    """Convolve every channel over the previous, the present and the next frame.

    The clip is padded with zeros. Tokens with channels last, seen as an image of time by patches,
    are in the layout that libraries call channels-last, so nothing is transposed in memory.

    Args:
        d_model: Width.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(d_model, d_model, kernel_size=(3, 1), padding=(1, 0), groups=d_model)

    def forward(self, x: Float[Tensor, "B T P D"]) -> Float[Tensor, "B T P D"]:
        """Return the convolved tokens."""
        return self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
