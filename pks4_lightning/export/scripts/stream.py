"""Follow a video with the model in this folder: ``python run.py clip.mp4``."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from pks4_lightning.export.scripts.video import decode, picture

HERE = Path(__file__).parent


def load_model(folder: Path = HERE) -> Any:
    """Return the function from the model's inputs to its outputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx")
    names = [each.name for each in session.get_inputs()]
    return lambda *inputs: session.run(None, dict(zip(names, inputs, strict=True)))


def at_rate(path: str | Path, rate: float) -> Iterator[tuple[float, Any]]:
    """Yield seconds from the beginning, and the frame on screen, at each tick of a clock."""
    spans = [(frame.time or 0.0, frame.duration * frame.time_base) for frame in decode(path)]
    starts = np.sort([start for start, _ in spans])  # AVI has them out of order
    ends = np.append(starts[1:], starts[-1] + float(spans[-1][1])) - starts[0]
    tick, early = 0, min(0.002, 0.1 / rate)
    for end, frame in zip(ends, decode(path), strict=True):
        while tick / rate < end - early or not tick:
            yield tick / rate, frame
            tick += 1


def read_frame(frame: Any, spec: dict[str, Any]) -> np.ndarray:
    """Return the square in the middle of a frame as the model takes it, 1 3 H W."""
    pixels, side = picture(frame, spec["resize"]), spec["frame_size"]
    top, left = (np.array(pixels.shape[:2]) - side) // 2
    square = pixels[top : top + side, left : left + side].astype(np.float32) / 255
    normalised = (square - np.float32(spec["mean"])) / np.float32(spec["std"])
    return np.ascontiguousarray(normalised.transpose(2, 0, 1)[None])


def follow(path: str | Path, folder: Path = HERE) -> Iterator[tuple[float, np.ndarray]]:
    """Yield seconds and the scores of every class for all frames so far, at the model's rate."""
    spec = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
    step = load_model(folder)
    state = [np.zeros((1, *shape), np.float32) for shape in spec["state"].values()]
    for seconds, frame in at_rate(path, spec["frame_rate"]):
        logits, *state = step(read_frame(frame, spec), *state)
        shares = np.exp(logits[0] - logits.max())
        yield seconds, shares / shares.sum()


if __name__ == "__main__":
    labels = (HERE / "labels.txt").read_text(encoding="utf-8").splitlines()
    try:
        for now, scores in follow(sys.argv[1] if sys.argv[1:] else sys.exit(__doc__)):
            best = scores.argmax()
            print(f"{now:.3f}\t{scores[best]:.4f}\t{labels[best]}")  # noqa: T201
    except av.FFmpegError as error:
        sys.exit(f"{sys.argv[1]}: {error.strerror}")
