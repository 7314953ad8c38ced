"""The folder that `pks4 export` writes: a model, what it is fed, and a script that uses both."""

import json
import platform
import shutil
from importlib.metadata import version
from pathlib import Path

from pks4_lightning.export.graph import trace
from pks4_lightning.export.parity import measure_parity
from pks4_lightning.export.ways import WAYS
from pks4_lightning.files import replaced_folder
from pks4_lightning.training.checkpoints.trained import Trained, rebuild

__all__ = ["export_classifier"]

_SCRIPT = Path(__file__).with_name("run.py")
_LABELS, _PREPROCESSING, _PARITY = "labels.txt", "preprocessing.json", "parity.json"
_FILES = {_SCRIPT.name, _LABELS, _PREPROCESSING, _PARITY, *(way.file for way in WAYS.values())}


def export_classifier(trained: Trained, folder: Path, *, to: str) -> float:
    """Write a classifier as a file that runs without this package, and prove that it does.

    Args:
        trained: The classifier. It is exported in float32.
        folder: New, empty, or with an earlier export, which stays if this one fails.
        to: ``torch``, ``onnx`` or ``aoti``.

    Returns:
        The largest difference of a logit between the file and the classifier.

    Raises:
        FileExistsError: If the folder holds anything else.
        ValueError: If the file answers otherwise than the classifier, a package is missing that it
            needs, or clips are not to be had by scaling and cropping alone.
    """
    way, clip = WAYS[to], trained.clip
    way.check_packages()
    sides = [clip.resize] if isinstance(clip.resize, int) else clip.resize
    if min(sides) < clip.frame_size:
        raise ValueError(
            f"Frames are scaled to {clip.resize} and cropped to {clip.frame_size}: the script "
            "beside an exported model cannot crop what is smaller."
        )
    classifier = rebuild(trained).float()
    size = {"num_frames": clip.num_frames, "frame_size": clip.frame_size}
    with replaced_folder(folder, _FILES) as unfinished:
        way.write(trace(classifier, **size), unfinished / way.file)
        shutil.copyfile(_SCRIPT, unfinished / _SCRIPT.name)
        names = [" ".join(name.splitlines()) for name in clip.label_names]
        (unfinished / _LABELS).write_text("".join(f"{name}\n" for name in names))
        _write_json(unfinished / _PREPROCESSING, _preprocessing(trained))
        parity = measure_parity(unfinished, classifier, **size)
        if not parity["max_abs_difference"] <= parity["tolerance"]:
            raise ValueError(
                f"The exported model answers otherwise than the classifier: logits differ by up to "
                f"{parity['max_abs_difference']:.2g}, and {parity['tolerance']:g} is allowed. "
                f"Nothing was written to {folder}."
            )
        packages = ("pks4-lightning", "torch", *way.packages)
        _write_json(
            unfinished / _PARITY,
            parity
            | {"versions": {name: version(name) for name in packages}}
            | {"machine": f"{platform.system()} {platform.machine()}"},
        )
    return parity["max_abs_difference"]


def _preprocessing(trained: Trained) -> dict[str, object]:
    clip = trained.clip
    sampling = "floor(N (t (n + 1) + k + 1) / (T (n + 1)))"
    if clip.frame_rate is not None:
        sampling = (
            "the one on screen (k + 1) / (n + 1) max(0, L - (T - 1) / frame_rate) + t / frame_rate "
            "seconds after the first, which is L seconds before the last"
        )
    return {
        "input": "video: float32, B C T H W, RGB from 0 to 1, less mean, divided by std",
        "output": "logits: float32, B K, classes in the order of labels.txt",
        "num_frames": clip.num_frames,
        "num_clips": trained.num_clips,
        "num_crops": trained.num_crops,
        "frame_rate": clip.frame_rate,
        "sampling": f"frame t of T, clip k of n, of a video of N frames: {sampling}",
        "resize": clip.resize,
        "frame_size": clip.frame_size,
        "mean": clip.mean,
        "std": clip.std,
    }


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
