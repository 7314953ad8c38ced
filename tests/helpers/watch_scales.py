"""A callback that records the scale of every micro-batch of a training."""

import json
from pathlib import Path

from lightning.pytorch import Callback

__all__ = ["WatchScales"]


class WatchScales(Callback):
    """Append optimiser step, frames, frame size and patch size to ``scales_RANK.jsonl``."""

    def on_train_batch_start(self, trainer, _task, batch, _batch_idx):
        _, _, num_frames, height, _ = batch["video"].shape
        line = [trainer.global_step, num_frames, height, batch.get("patch_size")]
        path = Path(trainer.default_root_dir) / f"scales_{trainer.global_rank}.jsonl"
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")
