"""Score several test splits with one process per rank: `score_cases.py ROOT CKPT OUT WORLD`."""

import sys
from pathlib import Path

import torch
from lightning.pytorch import Trainer

from pks4_lightning.data.datamodule import VideoDataModule
from pks4_lightning.training.callbacks.report_writer import ReportWriter
from pks4_lightning.training.task import VideoClassificationTask

NUM_VIDEOS = (1, 9, 10, 11)
NUM_CROPS = (1, 3)


def main(root, checkpoint, out, world_size):
    torch.set_num_threads(1)
    for num_videos in NUM_VIDEOS:
        for num_crops in NUM_CROPS:
            data = VideoDataModule(
                root,
                test=f"labels/first_{num_videos}.json",
                num_frames=4,
                resize=36,
                frame_size=32,
                test_batch_size=2,
                num_crops=num_crops,
                num_workers=0,
            )
            task = VideoClassificationTask.load_from_checkpoint(checkpoint, weights_only=True)
            trainer = Trainer(
                accelerator="cpu",
                devices=int(world_size),
                strategy="ddp" if int(world_size) > 1 else "auto",
                logger=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
                default_root_dir=Path(out) / f"{num_videos}x{num_crops}",
                callbacks=[ReportWriter()],
            )
            trainer.test(task, data, verbose=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
