"""Files that are part of the package."""

from pathlib import Path

__all__ = ["tiny_clip_folder"]


def tiny_clip_folder() -> Path:
    """Return the folder of the demo's tiny pretrained backbone.

    Returns:
        A Hugging Face folder of a CLIP vision tower with projection. Its README tells how it was
        made; it replaces CLIP, but is not CLIP.
    """
    return Path(__file__).parent / "weights"
