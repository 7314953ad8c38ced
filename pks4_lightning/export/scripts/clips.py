"""Label videos with the model in this folder: ``python run.py clip.mp4``."""

import json
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np

from pks4_lightning.export.scripts.video import decode, picture

HERE = Path(__file__).parent
MIDDLE = 0.499999  # of an odd number of pixels the lower half


def load_model(folder: Path = HERE) -> Any:
    """Return the function from the model's inputs to its outputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx")
    names = [each.name for each in session.get_inputs()]
    return lambda *inputs: session.run(None, dict(zip(names, inputs, strict=True)))


def read_clips(path: str | Path, folder: Path = HERE) -> np.ndarray:
    """Return the clips times crops of a video as the model takes them, B 3 T H W."""
    spec = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
    times = np.sort([frame.time or 0.0 for frame in decode(path)])
    chosen = (len(times) * np.array(spec["positions"]) + 1e-6).astype(int)
    if rate := spec["frame_rate"]:  # the frame on screen at each tick of the clip's clock
        ticks = np.arange(spec["num_frames"]) / rate
        room = max(0.0, times[-1] - times[0] - ticks[-1])
        ticks = ticks + room * np.array(spec["starts"])[:, None]
        chosen = np.searchsorted(times - times[0], ticks + 1e-6, "right") - 1
    needed = np.unique(chosen)
    size = picture(next(decode(path)), spec["resize"]).shape[:2]  # later frames may differ in size
    kept = [picture(each, size) for n, each in enumerate(decode(path)) if n in needed]
    clips = np.stack(kept)[np.searchsorted(needed, chosen)]
    side, views = spec["frame_size"], []
    spare = np.array(clips.shape[2:4]) - side
    for along in spec["crops"]:  # the longer side; the middle of the other
        shares = (MIDDLE, along) if spare[1] >= spare[0] else (along, MIDDLE)
        top, left = np.round(spare * shares).astype(int).tolist()
        views.append(clips[:, :, top : top + side, left : left + side])
    pixels = np.concatenate(views).transpose(0, 4, 1, 2, 3).astype(np.float32) / 255
    mean, std = (np.float32(spec[name]).reshape(3, 1, 1, 1) for name in ("mean", "std"))
    return np.ascontiguousarray((pixels - mean) / std)


def scores(logits: np.ndarray) -> np.ndarray:
    """Return the score of every class, from 0 to 1, averaged over the views of one video."""
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    return (shares / shares.sum(-1, keepdims=True)).mean(0)


if __name__ == "__main__":
    model, labels = load_model(), (HERE / "labels.txt").read_text(encoding="utf-8").splitlines()
    for video in sys.argv[1:] or sys.exit(__doc__):
        try:
            found = scores(model(read_clips(video))[0])
        except av.FFmpegError as error:
            sys.exit(f"{video}: {error.strerror}")
        for best in found.argsort()[::-1][:5]:
            print(f"{video}\t{found[best]:.4f}\t{labels[best]}")  # noqa: T201
