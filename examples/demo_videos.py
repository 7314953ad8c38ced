"""What the other examples look at."""

from pathlib import Path

from pks4_lightning.demo.motion.dataset import generate_motion_dataset


def demo_videos(folder: Path) -> Path:
    """Return a small set of the demo's videos, eight motions; made if it is missing."""
    return generate_motion_dataset(folder / "videos", num_train=320, num_val=40, num_test=80)
