"""Train PKS⁴ with Lightning's Trainer, test it, and save a checkpoint for the other examples."""

import sys
from pathlib import Path

from demo_videos import demo_videos
from lightning.pytorch import Trainer, seed_everything

from pks4_lightning import PKS4Config, VideoClassificationTask, VideoDataModule
from pks4_lightning.demo.tiny_clip.assets import tiny_clip_folder
from pks4_lightning.training import Recipe


def main(folder: Path, videos: Path, max_epochs: int = 4) -> float:
    """Return the top-1 accuracy on the test videos."""
    seed_everything(0)
    data = VideoDataModule(str(videos), frame_size=48, resize=48, batch_size=8, num_workers=0)
    config = PKS4Config(
        num_classes=8,
        backbone=str(tiny_clip_folder()),
        insert_after=2,  # of 4 blocks
        window_size=7,
        d_prior=16,
        d_state=8,
    )
    recipe = Recipe(
        base_lr=0.032, warmup_epochs=1, layer_decay=0.75, reference_batch=8, mix_prob=0.0
    )
    task = VideoClassificationTask(config, recipe)
    trainer = Trainer(
        default_root_dir=folder / "run",
        max_epochs=max_epochs,
        accelerator="cpu",
        gradient_clip_val=1.0,
        logger=False,
    )
    trainer.fit(task, data)
    (metrics,) = trainer.test(task, data)
    trainer.save_checkpoint(folder / "classifier.ckpt")  # for `pks4 predict`, and export.py
    return metrics["test/video_top1"]


if __name__ == "__main__":
    place = Path(sys.argv[1])
    print(f"top-1: {main(place, demo_videos(place)):.1%}")
