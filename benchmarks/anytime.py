"""Accuracy against the share of a video seen: `python benchmarks/anytime.py` (minutes per seed).

Trains the causal classifier of the demo at a fixed rate with clips of random length, then follows
every test video frame by frame, as `pks4 stream` does, and counts how many answers are right.
"""

import subprocess
import sys
from pathlib import Path
from statistics import mean

import torch
from machine import arguments, write_rows
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

import pks4_lightning
from pks4_lightning.data.annotations.layout import DataLayout
from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.data.video.video import Video
from pks4_lightning.demo.motion.clips import pair_of
from pks4_lightning.demo.motion.dataset import generate_motion_dataset
from pks4_lightning.inference import TrainedClassifier
from pks4_lightning.pictures.style import COLOURS, DASHES, new_figure
from pks4_lightning.timeline.follow import follower
from pks4_lightning.timeline.pacing import at_rate


def main() -> None:
    parser = arguments("Accuracy of a causal classifier against the share of a video seen.")
    parser.add_argument("--out", type=Path, default=Path("runs/anytime"), help="folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--picture", type=Path, help="file for the curve")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = generate_motion_dataset(options.out / "data")
    videos = DataLayout(str(data)).read("test")
    rows = []
    for seed in options.seeds:
        model = pks4_lightning.load(train(data, options.out / f"seed_{seed}", seed), device="cpu")
        rows += [{"seed": seed, **row} for row in curve(model, videos)]
    show(rows)
    write_rows(options.json, rows)
    if options.picture is not None:
        draw(rows).savefig(options.picture)


def train(data: Path, folder: Path, seed: int) -> Path:
    """Train, unless that was done before."""
    checkpoint = folder / "checkpoints" / "best.ckpt"
    if not checkpoint.is_file():
        settings = ["--config", "demo/pks4", "--config", "demo/overrides/causal"]
        settings += ["--data.root", str(data), "--trainer.default_root_dir", str(folder)]
        settings += ["--seed_everything", str(seed), "--data.seed", str(seed)]
        command = [sys.executable, "-m", "pks4_lightning", "fit", *settings]
        subprocess.run([*command, "--ckpt_path", "auto"], check=True)
    return checkpoint


def curve(model: TrainedClassifier, videos: VideoList) -> list[dict[str, float]]:
    """Follow every video; count at each frame which answers are right."""
    assert model.clip.frame_rate is not None
    right: dict[int, list[tuple[bool, bool]]] = {}
    shares: dict[int, list[float]] = {}
    for number, label in enumerate(videos.labels):
        video = Video(videos.path(number))
        following = follower(model, "state")
        ticks = at_rate(video.timed_frames(), model.clip.frame_rate)
        for place, tick in enumerate(ticks, start=1):
            answer = following.see(tick.time, tick.frame)
            assert answer is not None
            found = int(answer.scores.argmax())
            right.setdefault(place, []).append((found == label, pair_of(found) == pair_of(label)))
            shares.setdefault(place, []).append(min(1.0, tick.time / video.times[-1]))
    return [
        {
            "frame": place,
            "share_seen": round(mean(shares[place]), 4),
            "top1": mean(answer for answer, _ in answers),
            "pair": mean(pair for _, pair in answers),
            "videos": len(answers),
        }
        for place, answers in sorted(right.items())
    ]


def means(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """Average the seeds."""
    return [
        {key: mean(row[key] for row in rows if row["frame"] == place) for key in rows[0]}
        for place in sorted({row["frame"] for row in rows})
    ]


def show(rows: list[dict[str, float]]) -> None:
    table = Table("frame", "share seen", "top-1", "pair", title="Mean over seeds")
    for row in means(rows):
        table.add_row(
            f"{row['frame']:.0f}", f"{row['share_seen']:.0%}", f"{row['top1']:.1%}",
            f"{row['pair']:.1%}",
        )  # fmt: skip
    Console().print(table)


def draw(rows: list[dict[str, float]]) -> Figure:
    figure = new_figure(6.0, 3.6)
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    points = means(rows)
    seen = [100 * row["share_seen"] for row in points]
    names = {"top1": "class", "pair": "motion, whichever way it runs"}
    for number, (key, name) in enumerate(names.items()):
        axes.plot(
            seen, [100 * row[key] for row in points],
            marker="o", color=COLOURS[number], linestyle=DASHES[number], label=name,
        )  # fmt: skip
    axes.set_xlabel("share of the video seen in %")
    axes.set_ylabel("right in %")
    axes.set_ylim(0, 102)
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main()
