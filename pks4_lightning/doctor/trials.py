"""Trials of the real work: decode a clip, take a training step."""

import os
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import torch

from pks4_lightning.cost.throughput import default_device
from pks4_lightning.cost.training_step import ClipBatch, Precision, TrainingStep
from pks4_lightning.data.clips.sampling import CentredSegmentClipSampler
from pks4_lightning.data.video.video import Video
from pks4_lightning.doctor.finding import Finding
from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.ops.half_precision import advise_precision

__all__ = ["try_bfloat16", "try_decoding", "try_training_step"]

_LENGTH, _HEIGHT, _WIDTH = 60, 240, 320  # frames and pixels of the clip
_TINY = {
    "hidden_size": 32, "intermediate_size": 64, "projection_dim": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "image_size": 32, "patch_size": 8,
}  # fmt: skip


def try_decoding() -> Finding:
    """Write a small video, and read a clip of it as in training."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        _write(path)
        video = Video(path)
        sampler = CentredSegmentClipSampler(8)
        chosen = sampler.select_frames(video.num_frames, 0, torch.Generator())
        start = time.perf_counter()
        frames = Video(path).frames(chosen, 256).float().mean((1, 2, 3))
        milliseconds = 1e3 * (time.perf_counter() - start)
    expected = torch.tensor([_brightness(number) for number in chosen])
    if video.num_frames != _LENGTH or (frames - expected).abs().max() > 4:
        fix = "pip install --force-reinstall --only-binary av av"
        return Finding(
            check="decoding", said="gives pictures that differ from the encoded ones", fix=fix
        )
    size = f"{_LENGTH} frames of {_WIDTH} × {_HEIGHT}"
    return Finding(check="decoding", said=f"{milliseconds:.0f} ms for 8 of {size} (MPEG-4)")


def try_training_step() -> Finding:
    """Train a tiny classifier for one step, on the device a training would use."""
    torch.manual_seed(0)
    config = PKS4Config(
        num_classes=4, pretrained=False, backbone_config=dict(_TINY), insert_after=1, d_prior=8,
        window_size=3, d_state=4,
    )  # fmt: skip
    device = default_device()
    try:
        with device:
            classifier = build_classifier(config)
        step = TrainingStep(
            classifier, ClipBatch(num_clips=2, num_frames=4, frame_size=32), Precision()
        )
        before = classifier.head.weight.detach().clone()
        step()
        start = time.perf_counter()
        step()
        after = classifier.head.weight.detach().cpu()
        milliseconds = 1e3 * (time.perf_counter() - start)
    except Exception as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        asked = os.environ.get("PKS4_SCAN_BACKEND")
        fix = "unset PKS4_SCAN_BACKEND" if asked else "set PKS4_SCAN_BACKEND=torch to avoid kernels"
        return Finding(check="training step", said=said, fix=fix)
    if not after.isfinite().all() or torch.equal(after, before.cpu()):
        fix = "reinstall torch; if the problem remains, the processor or its memory is faulty"
        return Finding(
            check="training step", said="gives NaN or Inf, or changes no weight", fix=fix
        )
    said = f"{milliseconds:.0f} ms for a tiny classifier on {device.type}"
    return Finding(check="training step", said=said)


def try_bfloat16() -> Finding:
    """Find whether bfloat16, the precision of most configurations, is slow on this machine.

    It is not a failure: float32 works.
    """
    device = default_device()
    advice = advise_precision(device, torch.bfloat16)
    return Finding(check="bfloat16", said=advice or f"not slow on {device.type}")


def _brightness(number: int) -> int:
    return 40 + 3 * number


def _write(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = _HEIGHT, _WIDTH, "yuv420p"
        stream.bit_rate = 1_000_000
        for number in range(_LENGTH):
            grey = np.full((_HEIGHT, _WIDTH, 3), _brightness(number), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())
