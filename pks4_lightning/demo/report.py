"""What came out of the demo: numbers, a table, two pictures."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import av
import numpy as np
import yaml
from jaxtyping import UInt8
from matplotlib.figure import Figure
from rich.table import Table
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pks4_lightning.demo.motion.dataset import pair_of
from pks4_lightning.files import atomic_write
from pks4_lightning.pictures.contact_sheet import contact_sheet
from pks4_lightning.pictures.curves import Curve, RunCurves, learning_curves
from pks4_lightning.pictures.style import RIGHT, WRONG

__all__ = ["MODELS", "Run", "draw_pictures", "measure", "results_table", "summarise"]

MODELS = {"pks4": "PKS⁴", "baseline": "frame averaging"}
"""Names of the runs and of the models, as a person reads them."""
_COUNTS = ("parameters",)


@dataclass(frozen=True)
class Run:
    """A training and its test."""

    model: str
    """Key of :data:`MODELS`."""
    seed: int
    folder: Path


@dataclass(frozen=True)
class _Answer:
    """What a model says about one video."""

    label: str
    top1: str
    score: float


def measure(run: Run, *, data: Path) -> dict[str, float]:
    """Collect the numbers of one run.

    Args:
        run: Trained and tested.
        data: The motion set.

    Returns:
        Parameters, seconds of training without the start, accuracies over the test videos: top-1,
        top-5, the time-reversal pair, and the direction where the pair is right.
    """
    resolved = yaml.safe_load((run.folder / "checkpoints" / "resolved.yaml").read_text())
    metrics = json.loads((run.folder / "test" / "metrics.json").read_text())
    index = json.loads((data / "labels" / "labels.json").read_text())
    answers = _read_answers(run).values()
    pair_right = [
        pair_of(int(index[answer.label])) == pair_of(int(index[answer.top1])) for answer in answers
    ]
    right = sum(answer.label == answer.top1 for answer in answers)
    return {
        "parameters": resolved["parameters"],
        "seconds": round(_seconds(run.folder), 1),
        "test/video_top1": metrics["test/video_top1"],
        "test/video_top5": metrics["test/video_top5"],
        "pair_accuracy": float(mean(pair_right)),
        "direction_accuracy": right / max(1, sum(pair_right)),
    }


def summarise(measured: Mapping[Run, Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """Average each model's numbers over its seeds.

    Args:
        measured: The numbers of every run.

    Returns:
        Per model, the means under the numbers' own names; under ``std`` their standard deviations
        over seeds if there are several; under ``seeds`` the numbers of every run.
    """
    summary: dict[str, dict[str, Any]] = {}
    for model in MODELS:
        runs = {str(run.seed): dict(numbers) for run, numbers in measured.items()
                if run.model == model}  # fmt: skip
        names = next(iter(runs.values()))
        columns = {name: [numbers[name] for numbers in runs.values()] for name in names}
        summary[model] = {
            name: values[0] if name in _COUNTS else mean(values) for name, values in columns.items()
        }
        if len(runs) > 1:
            summary[model]["std"] = {
                name: stdev(values) for name, values in columns.items() if name not in _COUNTS
            }
        summary[model]["seeds"] = runs
    return summary


def results_table(summary: Mapping[str, Mapping[str, Any]]) -> Table:
    """Lay the results out for a terminal.

    Args:
        summary: From :func:`summarise`.

    Returns:
        One row per model; with several seeds, means ± standard deviations.
    """
    seeds = ", ".join(next(iter(summary.values()))["seeds"])
    table = Table(
        title=f"Test split, seed {seeds}",
        caption="direction: share right where the pair is right; seconds of training, one thread",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("model", no_wrap=True)
    several = any("std" in numbers for numbers in summary.values())
    # means with spreads take their place; results.json has them all
    counts = () if several else ("parameters", "seconds")
    for heading in (*counts, "top-1", "top-5", "pair", "direction"):
        table.add_column(heading, justify="right", no_wrap=True)
    for model, numbers in summary.items():
        shares = [
            _with_spread(numbers, name, 100.0)
            for name in (
                "test/video_top1",
                "test/video_top5",
                "pair_accuracy",
                "direction_accuracy",
            )
        ]
        sizes = [f"{numbers[name]:,.0f}" for name in counts]
        table.add_row(MODELS[model], *sizes, *shares)
    return table


def draw_pictures(runs: Sequence[Run], *, data: Path, folder: Path) -> list[Path]:
    """Draw learning curves of all runs and a contact sheet of test clips of the first seed.

    The sheet shows, for each time-reversal pair, the first test clip of its first class and the
    clip with the same frames in reverse order.

    Args:
        runs: Trained and tested.
        data: The motion set.
        folder: Where to write.

    Returns:
        The files.
    """
    curves = {
        name: [_read_curves(run.folder) for run in runs if run.model == model]
        for model, name in MODELS.items()
    }
    figures = {
        "learning_curves.png": learning_curves(
            curves,
            loss_marks={"ln 2: pair known, direction guessed": math.log(2.0)},
            top1_marks={"pair known, direction guessed": 0.5},
        ),
        "contact_sheet.png": _draw_sheet([run for run in runs if run.seed == runs[0].seed], data),
    }
    for name, figure in figures.items():
        with atomic_write(folder / name) as path:
            figure.savefig(path)
    return [folder / name for name in figures]


def _draw_sheet(runs: Sequence[Run], data: Path) -> Figure:
    """Draw clips in both directions with all models' answers."""
    index = json.loads((data / "labels" / "labels.json").read_text())
    answers = {run.model: _read_answers(run) for run in runs}
    by_label: dict[int, list[str]] = {}
    for path, answer in next(iter(answers.values())).items():
        by_label.setdefault(int(index[answer.label]), []).append(path)
    clips, titles = [], []
    for label in sorted(by_label):
        if label % 2 or label + 1 not in by_label:
            continue
        first = by_label[label][0]
        frames = _decode(data, first)
        for path in (first, _reverse_of(frames, by_label[label + 1], data)):
            clips.append(_decode(data, path))
            lines = [answers[runs[0].model][path].label]
            for model, by_path in answers.items():
                answer = by_path[path]
                mark = RIGHT if answer.top1 == answer.label else WRONG
                lines.append(f"{mark} {MODELS[model]}: {answer.top1} ({answer.score:.0%})")
            titles.append("\n".join(lines))
    return contact_sheet(np.stack(clips), titles)


def _reverse_of(frames: UInt8[np.ndarray, "T H W 3"], candidates: Sequence[str], data: Path) -> str:
    """Find the clip that is another one played backwards; the first one if there is none."""
    for path in candidates:
        if np.array_equal(_decode(data, path), frames[::-1]):
            return path
    return candidates[0]


def _decode(data: Path, path: str) -> UInt8[np.ndarray, "T H W 3"]:
    with av.open(data / "videos" / Path(path).name) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def _read_answers(run: Run) -> dict[str, _Answer]:
    """Read what a test said, by video path, in the order of the annotations."""
    with (run.folder / "test" / "predictions.csv").open(newline="") as file:
        return {
            row["video_path"]: _Answer(row["label"], row["top1"], float(row["score1"]))
            for row in csv.DictReader(file)
        }


def _read_curves(folder: Path) -> RunCurves:
    """Read what a training logged, its steps as epochs."""
    resolved = yaml.safe_load((folder / "checkpoints" / "resolved.yaml").read_text())
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    curves = []
    for tag in ("train/loss", "val/top1"):
        logged = events.Scalars(tag) if tag in events.Tags()["scalars"] else []
        points = [(event.step, event.value) for event in logged]
        steps, values = np.array(points, dtype=float).reshape(-1, 2).T
        curves.append(Curve((steps + 1.0) / resolved["steps_per_epoch"], values))
    return RunCurves(train_loss=curves[0], val_top1=curves[1])


def _seconds(folder: Path) -> float:
    """Add up the time from the first to the last event of each session of a training."""
    total = 0.0
    for path in folder.glob("events.out.tfevents.*"):
        events = EventAccumulator(str(path), size_guidance={"scalars": 0})
        events.Reload()
        times = [
            event.wall_time for tag in events.Tags()["scalars"] for event in events.Scalars(tag)
        ]
        total += max(times, default=0.0) - min([events.FirstEventTimestamp(), *times])
    return total


def _with_spread(numbers: Mapping[str, Any], name: str, scale: float) -> str:
    spread = f" ± {scale * numbers['std'][name]:.1f}" if "std" in numbers else ""
    return f"{scale * numbers[name]:.1f}{spread}"
