"""What a launched training writes down of itself; called in the new process, before the command."""

import os

from pks4_lightning.training.task import VideoClassificationTask


def trace(path):
    """Append a line per batch (its videos, its loss) and per step (its rates) to a file a rank."""
    file = os.open(f"{path}.{os.environ.get('RANK', 0)}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def on_train_batch_start(self, batch, batch_idx):
        videos = ",".join(map(str, batch["video_index"].tolist()))
        os.write(file, f"batch {self.current_epoch}.{batch_idx} {videos}\n".encode())

    def on_train_batch_end(self, outputs, batch, batch_idx):
        loss = outputs["loss"].item().hex()
        os.write(file, f"loss {self.current_epoch}.{batch_idx} {loss}\n".encode())

    def on_before_zero_grad(self, optimizer):
        # called before the backward pass, with the rates of the step that is made next
        rates = ",".join(float(group["lr"]).hex() for group in optimizer.param_groups)
        os.write(file, f"step {self.global_step} {rates}\n".encode())

    VideoClassificationTask.on_train_batch_start = on_train_batch_start
    VideoClassificationTask.on_train_batch_end = on_train_batch_end
    VideoClassificationTask.on_before_zero_grad = on_before_zero_grad


def read_trace(path, rank=0):
    """Return what each batch and step was; fail if it was something else when it was made again."""
    seen = {}
    for line in path.with_name(f"{path.name}.{rank}").read_text().splitlines():
        kind, number, value = line.split(" ")
        assert seen.setdefault((kind, number), value) == value, line
    return seen
