"""Files that come with the package."""

from pathlib import Path

__all__ = ["tiny_clip_folder"]


def tiny_clip_folder() -> Path:
    """Find the image-pretrained tiny backbone of the demo.

    Returns:
        A Hugging Face folder of a CLIP vision tower with projection. Its README says how it was
        made; it is a stand-in for CLIP, not CLIP.
    """
    return Path(__file__).parent / "weights"
