"""What a launched training writes down of itself; called in the new process, before the command."""

import os

from pks4_lightning.training.task import VideoClassificationTask


def trace(path):
    """Append a line per batch (its videos, its loss) and per step (its rates) to a file a rank."""
    file = os.open(f"{path}.{os.environ.get('RANK', 0)}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    place = [""]

    def on_train_batch_start(self, batch, batch_idx):
        place[0] = f"{self.current_epoch}.{batch_idx}"
        videos = ",".join(map(str, batch["video_index"].tolist()))
        os.write(file, f"batch {place[0]} {videos}\n".encode())

    def on_before_backward(self, loss):
        # at the end of the batch it would be too late: a checkpoint may have been saved by then
        os.write(file, f"loss {place[0]} {loss.item().hex()}\n".encode())

    def on_before_zero_grad(self, optimizer):
        # called before the backward pass, with the rates of the step that is made next
        rates = ",".join(float(group["lr"]).hex() for group in optimizer.param_groups)
        os.write(file, f"step {self.global_step} {rates}\n".encode())

    VideoClassificationTask.on_train_batch_start = on_train_batch_start
    VideoClassificationTask.on_before_backward = on_before_backward
    VideoClassificationTask.on_before_zero_grad = on_before_zero_grad


def read_trace(path, rank=0):
    """Return what each batch and step was; fail if it was something else when it was made again."""
    seen = {}
    for line in path.with_name(f"{path.name}.{rank}").read_text().splitlines():
        kind, number, value = line.split(" ")
        assert seen.setdefault((kind, number), value) == value, line
    return seen
