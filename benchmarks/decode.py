"""Time from a file to a uint8 clip, for our reader and others: `python benchmarks/decode.py`.

Each reader uses one thread and returns the middle frames of 8 segments, the shorter side scaled to
256 pixels and centre-cropped to 224 × 224, as uint8 of shape (3, 8, 224, 224). "Floor" is the time
for PyAV to decode the necessary packets without conversion: "in order" decodes everything up to the
last frame, "needed" only from the nearest keyframes on, without unreferenced frames. Times are
processor times, so all threads of a reader count; the loader's rates are wall-clock rates.
The clips are generated with the sizes, frame rates and keyframe intervals of Something-Something V2
(VP9) and Kinetics (H.264). decord and torchcodec are optional
(`pip install decord torchcodec==0.13.0`).
"""

import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import numpy as np
import torch
from bundled_ffmpeg import restart_for_torchcodec
from machine import arguments, write_rows
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.data.clips.sampling import CentredSegmentClipSampler
from pks4_lightning.data.datamodule import VideoDataModule
from pks4_lightning.data.loading.dataset import VideoDataset

FRAMES, SHORT_SIDE, SIZE = 8, 256, 224
CLIPS = {
    "VP9 webm 320×240, 80 frames": ("libvpx-vp9", ".webm", 80, 240, 320, 12, {"cpu-used": "5"}),
    "H.264 mp4 340×256, 300 frames, keyframes every 12": (
        "libx264", ".mp4", 300, 256, 340, 30, {"g": "12"},
    ),
    "H.264 mp4 340×256, 300 frames, keyframes every 250": (
        "libx264", ".mp4", 300, 256, 340, 30, {"g": "250"},
    ),
}  # fmt: skip


def write_clip(path: Path, codec: str, frames: int, height: int, width: int, rate: int,
               options: dict[str, str]) -> None:  # fmt: skip
    """Write a clip that resembles a hand-held camera: a pan over texture, grain, a moving block."""
    draw = np.random.default_rng(0)
    coarse = torch.from_numpy(draw.random((1, 3, 60, 80), dtype=np.float32))
    scene = F.interpolate(coarse, size=(2 * height, 2 * width), mode="bicubic")[0]
    scene = scene.permute(1, 2, 0).numpy() + draw.normal(0, 0.04, (2 * height, 2 * width, 3))
    scene = (scene.clip(0, 1) * 255).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        if codec == "libvpx-vp9":
            stream.bit_rate = 400_000
        for number in range(frames):
            top = int(height / 2 + height / 3 * np.sin(number / 30))
            left = int(width / 2 + width / 3 * np.cos(number / 40))
            picture = scene[top : top + height, left : left + width].copy()
            place = number * 3 % (width - 40)
            picture[height // 4 : height // 2, place : place + 40] = (200, 60, 40)
            picture += draw.integers(-4, 5, picture.shape, dtype=np.int16)
            pixels = picture.clip(0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def middle_frames(frames: int) -> list[int]:
    return [(2 * segment + 1) * frames // (2 * FRAMES) for segment in range(FRAMES)]


def scale_and_crop(clip: torch.Tensor) -> torch.Tensor:
    """Scale and crop uint8 (T, 3, H, W) to (3, T, 224, 224), for readers that do not scale."""
    height, width = clip.shape[2:]
    short = min(height, width)
    size = (round(height * SHORT_SIDE / short), round(width * SHORT_SIDE / short))
    if size != (height, width):
        clip = F.interpolate(clip, size=size, mode="bilinear", antialias=True)
    top, left = (size[0] - SIZE) // 2, (size[1] - SIZE) // 2
    clip = clip[:, :, top : top + SIZE, left : left + SIZE]
    return clip.transpose(0, 1).contiguous()


def ours(path: Path, frames: int) -> torch.Tensor:  # noqa: ARG001 - all readers have this signature
    videos = VideoList(str(path), str(path.parent), (path.name,), (0,))
    dataset = VideoDataset(
        videos,
        clip_sampler=CentredSegmentClipSampler(FRAMES),
        num_frames=FRAMES,
        frame_size=SIZE,
        resize=SHORT_SIDE,
    )
    return dataset[0]["video"][0]


def floor_in_order(path: Path, frames: int) -> None:
    last = middle_frames(frames)[-1]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for number, _ in enumerate(container.decode(stream)):
            if number == last:
                break


def floor_needed(path: Path, frames: int) -> None:
    """Seek to the keyframes and skip unreferenced frames other than the wanted ones."""
    wanted = middle_frames(frames)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        codec = stream.codec_context
        codec.thread_count = 1
        packets = [packet for packet in container.demux(stream) if packet.size]
        by_time = sorted(range(frames), key=lambda place: packets[place].pts)
        done = -1
        for place in sorted(by_time[number] for number in wanted):
            keys = [k for k in range(place + 1) if packets[k].is_keyframe]
            if keys[-1] > done:
                codec.flush_buffers()
                done = keys[-1] - 1
            while done < place:
                done += 1
                needed = done == place or codec.name != "h264"
                codec.skip_frame = "DEFAULT" if needed else "NONREF"
                codec.decode(packets[done])


def pytorchvideo(path: Path, frames: int) -> torch.Tensor:  # noqa: ARG001 - same
    # without torchvision, pytorchvideo imports only after our compatibility module
    from pytorchvideo.data.encoded_video import EncodedVideo

    video = EncodedVideo.from_path(str(path), decode_audio=False)
    clip = video.get_clip(0, video.duration)["video"]
    chosen = torch.linspace(0, clip.shape[1] - 1, FRAMES).long()
    result = scale_and_crop(clip[:, chosen].transpose(0, 1).to(torch.uint8))
    video.close()
    return result


def decord(path: Path, frames: int) -> torch.Tensor:
    import decord

    video = decord.VideoReader(str(path), num_threads=1)
    clip = torch.from_numpy(video.get_batch(middle_frames(frames)).asnumpy())
    return scale_and_crop(clip.permute(0, 3, 1, 2))


def decord_scaling(path: Path, frames: int) -> torch.Tensor:
    import decord

    with av.open(str(path)) as container:
        height, width = container.streams.video[0].height, container.streams.video[0].width
    short = min(height, width)
    size = {"height": round(height * 256 / short), "width": round(width * 256 / short)}
    video = decord.VideoReader(str(path), num_threads=1, **size)
    clip = torch.from_numpy(video.get_batch(middle_frames(frames)).asnumpy())
    return scale_and_crop(clip.permute(0, 3, 1, 2))


def torchcodec_exact(path: Path, frames: int) -> torch.Tensor:
    return _torchcodec(path, frames, "exact")


def torchcodec_approximate(path: Path, frames: int) -> torch.Tensor:
    return _torchcodec(path, frames, "approximate")


def _torchcodec(path: Path, frames: int, mode: str) -> torch.Tensor:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), num_ffmpeg_threads=1, seek_mode=mode)
    return scale_and_crop(decoder.get_frames_at(middle_frames(frames)).data)


READERS: dict[str, Callable[[Path, int], object]] = {
    "floor: needed packets": floor_needed,
    "floor: in order": floor_in_order,
    "pks4_lightning": ours,
    "torchcodec, exact": torchcodec_exact,
    "torchcodec, approximate": torchcodec_approximate,
    "decord": decord,
    "decord, scaling itself": decord_scaling,
    "pytorchvideo EncodedVideo": pytorchvideo,
}
OPTIONAL = ("torchcodec", "decord")


def available(reader: Callable[[Path, int], object], path: Path, frames: int) -> str:
    """Return why a reader cannot be measured, or None."""
    try:
        reader(path, frames)
    except ImportError as error:
        return f"not installed ({error.name})" if error.name else "not installed"
    except Exception as error:
        return f"fails: {str(error).strip().splitlines()[0][:60]}"
    return ""


def measure(path: Path, frames: int, rounds: int) -> dict[str, list[float] | str]:
    """Time all readers in turn, so that other load on the machine affects all of them."""
    times: dict[str, list[float] | str] = {}
    for name, reader in READERS.items():
        times[name] = available(reader, path, frames) or []
    for _ in range(rounds):
        for name, reader in READERS.items():
            if isinstance(taken := times[name], list):
                begin = time.process_time()
                reader(path, frames)
                taken.append(1000 * (time.process_time() - begin))
    return times


def loader_rate(path: Path, num_workers: int, num_videos: int) -> tuple[float, float]:
    """Return the whole loader's clips per second, and the private memory of a worker in MiB."""
    root = path.with_suffix("")
    root.mkdir(exist_ok=True)
    names = [f"{number}{path.suffix}" for number in range(num_videos)]
    for name in names:
        shutil.copyfile(path, root / name)
    for split in ("train", "val"):
        (root / f"{split}.txt").write_text("".join(f"{name} 0\n" for name in names))
    module = VideoDataModule(str(root), num_frames=FRAMES, batch_size=4, num_workers=num_workers)
    module.setup("validate")
    batches = iter(module.val_dataloader())
    first = [next(batches)["label"].numel() for _ in range(2 * num_workers)]
    workers = [child.pid for child in multiprocessing.active_children()]
    begin = time.perf_counter()
    clips, memory = 0, [0.0]
    for batch in batches:
        clips += batch["label"].numel()
        memory += [own_memory(worker) for worker in workers]
    seconds = time.perf_counter() - begin
    shutil.rmtree(root)
    assert clips + sum(first) == num_videos
    return clips / seconds, max(memory)


def own_memory(process: int | None) -> float:
    """Return the private memory of a process in MiB, or 0 if the process has ended."""
    try:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_")) / 1024


def print_readers(
    console: Console, title: str, times: dict[str, list[float] | str]
) -> list[dict[str, object]]:
    """Print the table of a file and return its rows."""
    rows: list[dict[str, object]] = []
    mine = statistics.median(times["pks4_lightning"])
    table = Table("reader", "ms, median", "ms, best", "times ours", title=title)
    for name, taken in times.items():
        if isinstance(taken, str):
            table.add_row(name, taken)
            rows.append({"file": title, "reader": name, "result": taken})
            continue
        median, best = statistics.median(taken), min(taken)
        table.add_row(name, f"{median:.1f}", f"{best:.1f}", f"{median / mine:.2f}")
        rows.append({"file": title, "reader": name, "median_ms": round(median, 2),
                     "best_ms": round(best, 2), "times_ours": round(median / mine, 3)})  # fmt: skip
    console.print(table)
    return rows


def print_loader(console: Console, files: dict[str, Path], videos: int) -> list[dict[str, object]]:
    """Measure the whole loader, print its table and return its rows."""
    rows: list[dict[str, object]] = []
    table = Table(
        "file", "workers", "clips/s", "MiB per worker", title="whole loader, batches of 4"
    )
    for title, path in files.items():
        for num_workers in (1, 2):
            rate, memory = loader_rate(path, num_workers, videos)
            table.add_row(title, str(num_workers), f"{rate:.1f}", f"{memory:.0f}")
            rows.append({"file": title, "workers": num_workers, "clips_per_second": round(rate, 1),
                         "mib_per_worker": round(memory)})  # fmt: skip
    console.print(table)
    return rows


def main() -> None:
    parser = arguments("Milliseconds from a video file to a uint8 clip of 8 × 224 × 224, one core.")
    parser.add_argument("--rounds", type=int, default=15, help="clips per reader and file")
    parser.add_argument("--videos", type=int, default=128, help="videos for the loader; 0 skips it")
    options = parser.parse_args()
    restart_for_torchcodec()
    torch.set_num_threads(1)
    installed = {dist.metadata["Name"]: dist.version for dist in distributions()}
    versions = {name: installed.get(name, "not installed") for name in OPTIONAL}
    rows: list[dict[str, object]] = [{"optional readers": versions}]
    files: dict[str, Path] = {}
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        for title, (codec, suffix, frames, height, width, rate, extra) in CLIPS.items():
            path = files[title] = Path(folder, f"clip{len(files)}{suffix}")
            write_clip(path, codec, frames, height, width, rate, extra)
            rows += print_readers(console, title, measure(path, frames, options.rounds))
        if options.videos:
            rows += print_loader(console, files, options.videos)
    write_rows(options.json, rows)


if __name__ == "__main__":
    main()
