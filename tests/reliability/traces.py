"""Traces of a launched training; `trace` is called in the new process before the command."""

import os

from pks4_lightning.training.task import VideoClassificationTask


def trace(path):
    """Append a line per batch (videos, loss) and per step (rates) to one file per rank."""
    file = os.open(f"{path}.{os.environ.get('RANK', 0)}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    place = [""]

    def on_train_batch_start(self, batch, batch_idx):
        place[0] = f"{self.current_epoch}.{batch_idx}"
        videos = ",".join(map(str, batch["video_index"].tolist()))
        os.write(file, f"batch {place[0]} {videos}\n".encode())

    def on_before_backward(self, loss):
        # before the end of the batch, when a checkpoint may already have been saved
        os.write(file, f"loss {place[0]} {loss.item().hex()}\n".encode())

    def on_before_zero_grad(self, optimizer):
        # called before the backward pass, with the rates of the coming step
        rates = ",".join(float(group["lr"]).hex() for group in optimizer.param_groups)
        os.write(file, f"step {self.global_step} {rates}\n".encode())

    VideoClassificationTask.on_train_batch_start = on_train_batch_start
    VideoClassificationTask.on_before_backward = on_before_backward
    VideoClassificationTask.on_before_zero_grad = on_before_zero_grad


def read_trace(path, rank=0):
    """Return the batches and steps; fail if a repeated one differs from its first run."""
    seen = {}
    for line in path.with_name(f"{path.name}.{rank}").read_text().splitlines():
        kind, number, value = line.split(" ")
        assert seen.setdefault((kind, number), value) == value, line
    return seen
