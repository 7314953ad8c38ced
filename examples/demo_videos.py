"""Videos for the other examples."""

from pathlib import Path

from pks4_lightning.demo.motion.dataset import generate_motion_dataset


def demo_videos(folder: Path) -> Path:
    """Return the folder of a small demo set with eight motions, and make it if it is missing."""
    return generate_motion_dataset(folder / "videos", num_train=320, num_val=40, num_test=80)
