"""Long decoding leaks no memory, files or threads, and no worker hangs."""

import gc
import os
from pathlib import Path

import av
import pytest

from pks4_lightning.data.datamodule import VideoDataModule
from pks4_lightning.data.video.errors import VideoDecodeError
from pks4_lightning.data.video.video import Video
from tests.helpers.media import Clip, write_clip

CLIPS = {
    "webm": Clip(".webm", 12),
    "mp4": Clip(".mp4", 12, b_frames=2, sound=0.5),
    "avi": Clip(".avi", 12),
    "mkv": Clip(".mkv", 12, codec="libx265", pix_fmt="yuv420p10le"),
}


def resident_mib():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def num_open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def num_threads():
    return len(list(Path("/proc/self/task").iterdir()))


def decode_all(paths, bad, times):
    for time in range(times):
        Video(paths[time % len(paths)]).frames([0, 5, 11], 80)
        if time % 4 == 0:
            with pytest.raises(VideoDecodeError):
                Video(bad[time // 4 % len(bad)]).frames([11])


def test_decoding_loses_no_memory_files_or_threads(tmp_path):
    paths = [write_clip(tmp_path / name, clip) for name, clip in CLIPS.items()]
    bad = [tmp_path / "text.mp4", tmp_path / "cut.webm", tmp_path / "none.mp4"]
    bad[0].write_text("no video")
    bad[1].write_bytes(paths[0].read_bytes()[:1500])
    decode_all(paths, bad, 500)
    gc.collect()
    before = resident_mib(), num_open_files(), num_threads()
    gc.disable()
    try:
        decode_all(paths, bad, 2500)
        after = resident_mib(), num_open_files(), num_threads()
    finally:
        gc.enable()
    assert after[0] - before[0] < 10
    # also with the garbage collector disabled
    assert after[1:] == before[1:]


def decode_with_threads(path):
    """Leave a multi-threaded decoder to the garbage collector."""
    container = av.open(str(path))
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = 2
    cycle = [container, stream, next(container.decode(stream))]
    container.close()
    cycle.append(cycle)


def test_a_decoder_in_the_main_process_cannot_hang_the_workers(tmp_path):
    names = [f"{number}.mp4" for number in range(6)]
    for name in names:
        write_clip(tmp_path / name, Clip(".mp4", 8))
    for split in ("train", "val"):
        (tmp_path / f"{split}.txt").write_text("".join(f"{name} 0\n" for name in names))
    sizes = {"num_frames": 4, "frame_size": 32, "resize": 40, "batch_size": 2}
    module = VideoDataModule(str(tmp_path), **sizes, num_workers=2, worker_timeout=30)
    module.setup("validate")
    decode_with_threads(tmp_path / "0.mp4")
    assert sum(int(batch["valid"].sum()) for batch in module.val_dataloader()) == 6
