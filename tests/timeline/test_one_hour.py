"""Labelling a recording of one hour: memory does not grow after its first tenth."""

import logging
import threading
from fractions import Fraction

import av
import numpy as np
import pytest

from pks4_lightning.__main__ import main
from tests.helpers.memory import resident_bytes

logger = logging.getLogger(__name__)

SECONDS, RATE = 3600, 10


@pytest.fixture
def hour(tmp_path):
    path = tmp_path / "hour.mp4"
    draw = np.random.default_rng(0)
    with av.open(str(path), "w") as written:
        options = {"preset": "ultrafast", "crf": "40"}
        stream = written.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.gop_size = 128, 96, 50
        pictures = draw.integers(0, 255, (40, 96, 128, 3), np.uint8)
        for number in range(SECONDS * RATE):
            frame = av.VideoFrame.from_ndarray(pictures[number // 20 % 40], format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            written.mux(stream.encode(frame))
        written.mux(stream.encode())
    return path


@pytest.mark.slow
def test_an_hour_is_labelled_in_flat_memory(trained, hour, tmp_path):
    out = tmp_path / "out"
    rows = out / "scores" / "hour.npy.part"
    samples, ended = [], threading.Event()

    def watch():
        while not ended.wait(0.2):
            if rows.exists():
                samples.append((rows.stat().st_size, resident_bytes()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    checkpoint = str(trained / "checkpoints" / "best.ckpt")
    windows = ["--window", "2.0", "--stride", "1.0", "--out", str(out)]
    try:
        assert main(["predict", "--ckpt_path", checkpoint, str(hour), *windows]) == 0
    finally:
        ended.set()
        watcher.join()
    scores = np.load(out / "scores" / "hour.npy")
    assert len(scores) == SECONDS - 1
    tenth = next(held for size, held in samples if size > scores.nbytes / 10)
    most = max(held for size, held in samples if size > scores.nbytes / 10)
    logger.info("%d MiB after a tenth, then %d MiB at most", tenth >> 20, most >> 20)
    assert most - tenth < 50 * 2**20
