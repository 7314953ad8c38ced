"""Compute of a whole training, in the paper's convention.

Reference:
    PKS^4, https://arxiv.org/abs/2604.26461, Section 4.3.2, Tables 2 and 7.
"""

__all__ = ["training_eflops"]


def training_eflops(flops_per_view: float, *, num_videos: int, num_epochs: int) -> float:
    """Return the training compute in EFLOPs (10^18).

    Each multiply-add counts six: two operations, times one forward and a backward pass worth two.
    One clip per video and epoch is counted, as the paper's numbers require, however many repeats a
    recipe draws.

    Args:
        flops_per_view: Multiply-adds of one clip's forward pass.
        num_videos: Training videos.
        num_epochs: Number of epochs.

    Example:
        >>> f"{training_eflops(145.18e9, num_videos=168_913, num_epochs=20):.3f}"
        '2.943'
    """
    return 6 * flops_per_view * num_videos * num_epochs / 1e18
