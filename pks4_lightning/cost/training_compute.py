"""What a whole training computes, as the paper counts it.

Reference:
    PKS^4, https://arxiv.org/abs/2604.26461, Section 4.3.2, Tables 2 and 7.
"""

__all__ = ["training_eflops"]


def training_eflops(flops_per_view: float, *, num_videos: int, num_epochs: int) -> float:
    """Return the training compute in EFLOPs (10^18).

    Six for each multiply-add: two operations, in one forward and two backward passes' worth. One
    clip per video and epoch is counted, as the paper's numbers need it, however often a recipe
    draws a video.

    Args:
        flops_per_view: Of one clip's forward pass, a multiply-add counted once.
        num_videos: Training videos.
        num_epochs: Passes over them.

    Example:
        >>> f"{training_eflops(145.18e9, num_videos=168_913, num_epochs=20):.3f}"
        '2.943'
    """
    return 6 * flops_per_view * num_videos * num_epochs / 1e18
