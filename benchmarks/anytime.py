"""Accuracy by the share of a video seen: `python benchmarks/anytime.py`.

Trains the demo's causal classifier at a fixed frame rate with clips of random length (minutes per
seed), then streams every test video frame by frame and records the accuracy after each frame. The
first frame of a demo video reveals its class, because every motion spans the whole video: an object
at the left edge will slide to the right. Streams that begin in the middle of a motion do not have
this cue.
"""

import subprocess
import sys
from pathlib import Path
from statistics import mean

import numpy as np
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
from pks4_lightning.models.classifier import PKS4Classifier
from pks4_lightning.pictures.style import COLOURS, new_figure

BEGINS = (0.0, 0.45)
"""Start of the streams, as a share of the video's length."""


def main() -> None:
    parser = arguments("Accuracy of a causal classifier by the share of a video seen.")
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
        rows += [{"seed": seed, **row} for at in BEGINS for row in curve(model, videos, at)]
    show(rows)
    write_rows(options.json, rows)
    if options.picture is not None:
        draw(rows).savefig(options.picture)


def train(data: Path, folder: Path, seed: int) -> Path:
    """Train, unless the checkpoint already exists."""
    checkpoint = folder / "checkpoints" / "best.ckpt"
    if not checkpoint.is_file():
        settings = ["--config", "demo/pks4", "--config", "demo/overrides/causal"]
        settings += ["--data.root", str(data), "--trainer.default_root_dir", str(folder)]
        settings += ["--seed_everything", str(seed), "--data.seed", str(seed)]
        command = [sys.executable, "-m", "pks4_lightning", "fit", *settings]
        subprocess.run([*command, "--ckpt_path", "auto"], check=True)
    return checkpoint


@torch.inference_mode()
def curve(model: TrainedClassifier, videos: VideoList, begin: float) -> list[dict[str, float]]:
    """Stream every video from a share of its length on; return the accuracy after each frame."""
    classifier, rate = model.classifier, model.clip.frame_rate
    assert isinstance(classifier, PKS4Classifier)
    assert rate is not None
    right: dict[int, list[tuple[bool, bool]]] = {}
    for number, label in enumerate(videos.labels):
        video = Video(videos.path(number))
        start = begin * float(video.times[-1])
        ticks = np.arange(start, float(video.times[-1]) + 1e-6, 1 / rate)
        frames = video.frames(video.frames_at(ticks.tolist()), model.resize)
        clip = model.normalise(model.crop(frames).unsqueeze(0))
        logits, _ = classifier.steps(clip, classifier.initial_state(1, size=model.clip.frame_size))
        for place, found in enumerate(logits[0].argmax(-1).tolist(), start=1):
            right.setdefault(place, []).append((found == label, pair_of(found) == pair_of(label)))
    return [
        {
            "begin": begin,
            "frame": place,
            "share_seen": round((place - 1) / rate / float(video.times[-1]), 4),
            "top1": mean(answer for answer, _ in answers),
            "pair": mean(pair for _, pair in answers),
            "videos": len(answers),
        }
        for place, answers in sorted(right.items())
    ]


def means(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """Average over the seeds."""
    points = sorted({(row["begin"], row["frame"]) for row in rows})
    return [
        {key: mean(row[key] for row in rows if (row["begin"], row["frame"]) == point)
         for key in rows[0] if key != "seed"}
        for point in points
    ]  # fmt: skip


def show(rows: list[dict[str, float]]) -> None:
    table = Table("begins at", "frame", "share seen", "top-1", "pair", title="Mean over seeds")
    for row in means(rows):
        table.add_row(
            f"{row['begin']:.0%}", f"{row['frame']:.0f}", f"{row['share_seen']:.0%}",
            f"{row['top1']:.1%}", f"{row['pair']:.1%}",
        )  # fmt: skip
    Console().print(table)


def draw(rows: list[dict[str, float]]) -> Figure:
    figure = new_figure(6.0, 3.6)
    axes = figure.subplots()
    for number, begin in enumerate(BEGINS):
        points = [row for row in means(rows) if row["begin"] == begin]
        seen = [100 * row["share_seen"] for row in points]
        for key, name in (("top1", "class"), ("pair", "motion, in either direction")):
            axes.plot(
                seen, [100 * row[key] for row in points], marker="o", color=COLOURS[number],
                linestyle="-" if key == "top1" else ":", label=f"stream from {begin:.0%}: {name}",
            )  # fmt: skip
    axes.set_xlabel("share of the video seen (%)")
    axes.set_ylabel("accuracy (%)")
    axes.set_ylim(0, 104)
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main()
