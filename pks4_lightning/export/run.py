"""Label videos with the model in this folder: ``python run.py clip.mp4``.

It needs numpy and av; and onnxruntime for model.onnx, or torch for model.pt2.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np

HERE = Path(__file__).parent


def load_model(folder: Path = HERE) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from clips, B 3 T H W of float32 and normalised, to logits, B K."""
    if (folder / "model.onnx").exists():
        import onnxruntime

        session = onnxruntime.InferenceSession(folder / "model.onnx")
        return lambda clips: session.run(None, {"video": clips})[0]
    import torch

    if (folder / "model.pt2").exists():
        module: Any = torch.export.load(folder / "model.pt2").module()
    else:
        module = torch._inductor.aoti_load_package(str(folder / "model.aoti.pt2"))
    # compiled code goes by the strides that it was made for, and does not ask for others
    return lambda clips: module(torch.from_numpy(np.ascontiguousarray(clips))).detach().numpy()


def read_clips(path: str | Path, folder: Path = HERE) -> np.ndarray:
    """Return the views of a video, clips times crops, as the model takes them."""
    spec = json.loads((folder / "preprocessing.json").read_text())
    chosen, num_crops = _chosen_frames(path, spec), spec["num_crops"]
    size, resize, pictures = None, spec["resize"], {}
    for number, frame in enumerate(_decode(path)):
        turn = round(frame.rotation / 90) % 4
        size = size or ((frame.width, frame.height) if turn % 2 else (frame.height, frame.width))
        if any(number in clip for clip in chosen):
            scaled = resize
            if isinstance(resize, int):  # the shorter side
                scaled = [round(side * resize / min(size)) for side in size]
            pictures[number] = _picture(frame, scaled, turn)
    side, clips = spec["frame_size"], []
    for clip in chosen:
        frames = np.stack([pictures[number] for number in clip])
        height, width = frames.shape[1:3]
        for crop in range(num_crops):  # along the longer side: the centre, or left to right
            spare = max(height, width) - side
            along = spare // 2 if num_crops == 1 else round(spare * crop / (num_crops - 1))
            across = (min(height, width) - side) // 2
            top, left = (across, along) if width >= height else (along, across)
            clips.append(frames[:, top : top + side, left : left + side])
    pixels = np.stack(clips).transpose(0, 4, 1, 2, 3).astype(np.float32) / 255
    mean, std = (np.float32(spec[x]).reshape(3, 1, 1, 1) for x in ("mean", "std"))
    return (pixels - mean) / std


def scores(logits: np.ndarray) -> np.ndarray:
    """Return the score of every class, from 0 to 1, averaged over the views of one video."""
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    return (shares / shares.sum(-1, keepdims=True)).mean(0)


def _chosen_frames(path: str | Path, spec: dict[str, Any]) -> list[list[int]]:
    """Return the numbers of the frames of every clip."""
    num_frames, parts, rate = spec["num_frames"], spec["num_clips"] + 1, spec["frame_rate"]
    times = [frame.time or 0.0 for frame in _decode(path)]
    total, shares = len(times), range(1, parts)
    if rate is None:  # of each of num_frames equal segments, num_clips frames evenly spaced
        return [
            [total * (t * parts + k) // (num_frames * parts) for t in range(num_frames)]
            for k in shares
        ]
    seconds = np.sort(times) - min(times)
    room = max(0.0, seconds[-1] - (num_frames - 1) / rate)
    ticks = np.arange(num_frames) / rate + 1e-6  # the frame on screen at each of them
    starts = [k / parts * room for k in shares]
    return [(np.searchsorted(seconds, start + ticks, "right") - 1).tolist() for start in starts]


def _decode(path: str | Path) -> Any:
    with av.open(str(path)) as container:
        yield from container.decode(container.streams.best("video"))


def _picture(frame: av.VideoFrame, size: list[int], turn: int) -> np.ndarray:
    height, width = size[::-1] if turn % 2 else size
    if (height, width) == (frame.height, frame.width):
        return np.rot90(frame.to_ndarray(format="rgb24"), turn)
    scaled = frame.reformat(width, height, "gbrp", interpolation="BILINEAR")
    return np.rot90(scaled.to_ndarray(), turn)


if __name__ == "__main__":
    model, labels = load_model(), (HERE / "labels.txt").read_text().splitlines()
    for video in sys.argv[1:]:
        found = scores(model(read_clips(video)))
        for best in found.argsort()[::-1][:5]:
            print(f"{video}\t{found[best]:.4f}\t{labels[best]}")  # noqa: T201
