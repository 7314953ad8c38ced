"""The report on the demo: accuracies and two figures."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import numpy as np
import yaml
from jaxtyping import UInt8
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pks4_lightning.data.video.video import Video
from pks4_lightning.demo.motion.clips import pair_of
from pks4_lightning.experiments.plan import Trial
from pks4_lightning.experiments.results import Result
from pks4_lightning.pictures.contact_sheet import contact_sheet
from pks4_lightning.pictures.curves import Curve, RunCurves, learning_curves
from pks4_lightning.pictures.style import RIGHT, WRONG, save_figure
from pks4_lightning.training.scoring.prediction_files import read_predictions
from pks4_lightning.training.scoring.predictions import Prediction

__all__ = ["MODELS", "demo_summary", "draw_pictures", "measure"]

MODELS = {"pks4": "PKS⁴", "baseline": "frame averaging"}
"""Keys of the models in ``results.json``, and their names in tables and figures."""
_NAMES = {
    "parameters": "params",
    "seconds": "seconds",
    "test/video_top1": "top1",
    "test/video_top5": "top5",
    "pair_accuracy": "pair",
    "direction_accuracy": "direction",
}
"""Keys in ``results.json`` for the columns of ``results.csv``."""


def measure(trial: Trial, *, data: Path) -> dict[str, float]:
    """Measure two parts of the accuracy: the kind of motion, and its direction in time.

    Args:
        trial: A finished run.
        data: The motion set.

    Returns:
        ``pair``: the share of test videos whose time-reversal pair is correct. ``direction``: the
        share of those whose direction is correct as well.
    """
    index = json.loads((data / "labels" / "labels.json").read_text(encoding="utf-8"))
    answers = _read_answers(trial).values()
    pair_right = [
        pair_of(int(index[answer.label])) == pair_of(int(index[answer.best[0].name]))
        for answer in answers
    ]
    right = sum(answer.label == answer.best[0].name for answer in answers)
    return {"pair": mean(pair_right), "direction": right / max(1, sum(pair_right))}


def demo_summary(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    """Average each model's numbers over its seeds.

    Args:
        results: Results of the two models.

    Returns:
        The means under ``pks4`` and ``baseline``.
    """
    return {
        key: {
            name: mean(result.value(column) for result in results if result.row == model)
            for name, column in _NAMES.items()
        }
        for key, model in MODELS.items()
    }


def draw_pictures(trials: Sequence[Trial], *, data: Path, folder: Path) -> list[Path]:
    """Draw learning curves of all trials and a contact sheet of test clips of the first seed.

    The sheet shows, for each time-reversal pair, the first test clip of its first class and the
    clip with the same frames in reverse order.

    Args:
        trials: Finished runs.
        data: Folder of the demo data set.
        folder: Output folder.

    Returns:
        The files written.
    """
    curves = {
        model: [_read_curves(trial.folder) for trial in trials if trial.arm.name == model]
        for model in MODELS.values()
    }
    figures = {
        "learning_curves.png": learning_curves(
            curves,
            loss_marks={"ln 2: pair known, direction guessed": math.log(2.0)},
            top1_marks={"pair known, direction guessed": 0.5},
        ),
        "contact_sheet.png": _draw_sheet(
            [trial for trial in trials if trial.seed == trials[0].seed], data
        ),
    }
    for name, figure in figures.items():
        save_figure(figure, folder / name)
    return [folder / name for name in figures]


def _draw_sheet(trials: Sequence[Trial], data: Path) -> Figure:
    """Draw clips in both directions with the answers of all models."""
    index = json.loads((data / "labels" / "labels.json").read_text(encoding="utf-8"))
    answers = {trial.arm.name: _read_answers(trial) for trial in trials}
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
            lines = [next(iter(answers.values()))[path].label]
            for model, by_path in answers.items():
                answer, best = by_path[path], by_path[path].best[0]
                mark = RIGHT if best.name == answer.label else WRONG
                lines.append(f"{mark} {model}: {best.name} ({best.score:.0%})")
            titles.append("\n".join(lines))
    return contact_sheet(np.stack(clips), titles)


def _reverse_of(frames: UInt8[np.ndarray, "T H W 3"], candidates: Sequence[str], data: Path) -> str:
    """Find the clip with the same frames in reverse order, or else return the first candidate."""
    for path in candidates:
        if np.array_equal(_decode(data, path), frames[::-1]):
            return path
    return candidates[0]


def _decode(data: Path, path: str) -> UInt8[np.ndarray, "T H W 3"]:
    video = Video(data / "videos" / Path(path).name)
    return video.frames(range(video.num_frames)).numpy()


def _read_answers(trial: Trial) -> dict[str, Prediction]:
    """Read a run's test predictions by video path, in the order of the annotations."""
    return {each.video_path: each for each in read_predictions(trial.test_folder / "test")}


def _read_curves(folder: Path) -> RunCurves:
    """Read a run's log, with steps converted to epochs."""
    resolved = yaml.safe_load(
        (folder / "checkpoints" / "resolved.yaml").read_text(encoding="utf-8")
    )
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    curves = []
    for tag in ("train/loss", "val/top1"):
        logged = events.Scalars(tag) if tag in events.Tags()["scalars"] else []
        points = [(event.step, event.value) for event in logged]
        steps, values = np.array(points, dtype=float).reshape(-1, 2).T
        curves.append(Curve((steps + 1.0) / resolved["steps_per_epoch"], values))
    return RunCurves(train_loss=curves[0], val_top1=curves[1])
