"""Videos whose frames show their number as eight black or white bands, one per bit.

The contrast decreases from left to right, so that mirrored and shifted frames can be distinguished.
"""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

BITS = 8
CODECS = {".mp4": "libx264", ".mkv": "libx264", ".avi": "mpeg4", ".webm": "libvpx-vp9"}


def number_picture(number: int, height: int, width: int) -> np.ndarray:
    bands = np.array([1.0 if (number >> bit) & 1 else -1.0 for bit in range(BITS)])
    rows = np.arange(height) * BITS // height
    contrast = np.linspace(120, 50, width)
    picture = 127.5 + bands[rows][:, None] * contrast
    return np.repeat(picture[:, :, None], 3, axis=2).astype(np.uint8)


@pytest.fixture(scope="session")
def write_video() -> Callable[..., Path]:
    """Write a video of numbered frames, and return its path."""

    def write(
        path: Path,
        num_frames: int,
        *,
        height: int = 64,
        width: int = 96,
        frames_per_second: int = 10,
        first_number: int = 0,
        stamps: list[int] | None = None,
        **options: str,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        codec = CODECS[path.suffix]
        if codec == "libvpx-vp9":
            options = {"deadline": "realtime", "cpu-used": "8", **options}
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=frames_per_second, options=options)
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            stream.bit_rate = 400_000
            stream.codec_context.time_base = Fraction(1, frames_per_second)
            for number in range(num_frames):
                picture = number_picture(first_number + number, height, width)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = number if stamps is None else stamps[number]
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture(scope="session")
def read_numbers() -> Callable[[torch.Tensor], list[int]]:
    """Read the numbers of frames shaped (..., T, H, W, 3) or clips shaped (3, T, H, W)."""

    def read(frames: torch.Tensor) -> list[int]:
        if frames.shape[0] == 3 and frames.shape[-1] != 3:
            frames = frames.permute(1, 2, 3, 0)
        frames = frames.float()
        rows = [(2 * bit + 1) * frames.shape[1] // (2 * BITS) for bit in range(BITS)]
        bits = frames[:, rows].mean(dim=(2, 3)) > 127
        return [sum(int(bit) << place for place, bit in enumerate(row)) for row in bits.tolist()]

    return read


SSV2_LABELS = {
    "Holding something": "0",
    "Pulling something from left to right": "1",
    "Pulling something from right to left": "2",
}


@pytest.fixture(scope="session")
def ssv2_root(tmp_path_factory: pytest.TempPathFactory, write_video: Callable[..., Path]) -> Path:
    """A tree in the layout of Something-Something V2: 7 training and 5 validation videos."""
    root = tmp_path_factory.mktemp("ssv2")
    (root / "labels").mkdir()
    (root / "labels" / "labels.json").write_text(json.dumps(SSV2_LABELS))
    templates = [
        "Holding [something]",
        "Pulling [something] from left to right",
        "Pulling [something] from right to left",
    ]
    ids = {"train": range(1001, 1008), "validation": range(2001, 2006)}
    for split, numbers in ids.items():
        entries = [
            {
                "id": str(number),
                "label": templates[number % 3].replace("[something]", "a red cup"),
                "template": templates[number % 3],
                "placeholders": ["a red cup"],
            }
            for number in numbers
        ]
        (root / "labels" / f"{split}.json").write_text(json.dumps(entries))
        for number in numbers:
            file = root / "20bn-something-something-v2" / f"{number}.webm"
            write_video(file, 12 + number % 5, first_number=number % 100)
    (root / "labels" / "test.json").write_text(json.dumps([{"id": "3001"}]))
    return root
