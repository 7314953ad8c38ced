"""The folder that `pks4 export` writes: a model, what it is fed, and a script that uses both."""

import inspect
import json
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from pks4_lightning.export.graph import StateLayout, trace, trace_step
from pks4_lightning.export.parity import clip_parity, stream_parity
from pks4_lightning.export.preprocessing import clip_preprocessing, step_preprocessing
from pks4_lightning.export.scripts import clips, stream
from pks4_lightning.export.ways import WAYS, Graph, Way
from pks4_lightning.files import replaced_folder
from pks4_lightning.models.video_classifier import VideoClassifier
from pks4_lightning.training.checkpoints.trained import Trained, rebuild

__all__ = ["export_classifier"]

_SCRIPT, _LABELS = "run.py", "labels.txt"
_PREPROCESSING, _PARITY = "preprocessing.json", "parity.json"
_FILES = {_SCRIPT, _LABELS, _PREPROCESSING, _PARITY, *(way.file for way in WAYS.values())}


class _Export(NamedTuple):
    """What is the same whichever file the graph becomes."""

    graph: Graph
    script: ModuleType
    preprocessing: dict[str, object]
    prove: Callable[[Any], dict[str, Any]]
    """Compare what the script loads with the classifier."""


def export_classifier(trained: Trained, folder: Path, *, to: str, step: bool = False) -> float:
    """Write a classifier as a file that runs without this package, and prove that it does.

    Args:
        trained: The classifier. It is exported in float32.
        folder: New, empty, or with an earlier export, which stays if this one fails.
        to: ``torch``, ``onnx`` or ``aoti``.
        step: Export a causal classifier's step along a stream: the next frame and a state go in,
            logits and the next state come out.

    Returns:
        The largest difference of a logit between the file and the classifier.

    Raises:
        FileExistsError: If the folder holds anything else.
        ValueError: If the file answers otherwise than the classifier, a package is missing that it
            needs, clips are not to be had by scaling and cropping alone, or the classifier cannot
            follow a stream.
    """
    way, clip = WAYS[to], trained.clip
    way.check_packages()
    sides = [clip.resize] if isinstance(clip.resize, int) else clip.resize
    if min(sides) < clip.frame_size:
        raise ValueError(
            f"Frames are scaled to {clip.resize} and cropped to {clip.frame_size}: the script "
            "beside an exported model cannot crop what is smaller."
        )
    with replaced_folder(folder, _FILES) as unfinished:
        export = (_of_step if step else _of_clips)(trained, rebuild(trained).float())
        way.write(export.graph, unfinished / way.file)
        (unfinished / _SCRIPT).write_text(_script(export.script, way))
        names = [" ".join(name.splitlines()) for name in clip.label_names]
        (unfinished / _LABELS).write_text("".join(f"{name}\n" for name in names))
        _write_json(unfinished / _PREPROCESSING, export.preprocessing)
        parity = export.prove(way.load(unfinished))
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


def _of_clips(trained: Trained, classifier: VideoClassifier) -> _Export:
    size = {"num_frames": trained.clip.num_frames, "frame_size": trained.clip.frame_size}
    return _Export(
        Graph(trace(classifier, **size), ["video"], ["logits"]),
        clips,
        clip_preprocessing(trained),
        lambda model: clip_parity(model, classifier, **size),
    )


def _of_step(trained: Trained, classifier: VideoClassifier) -> _Export:
    layout = StateLayout(classifier, frame_size=trained.clip.frame_size)
    names = list(layout.shapes)
    return _Export(
        Graph(
            trace_step(layout),
            ["frame", *names],
            ["logits", *(f"next_{name}" for name in names)],
        ),
        stream,
        step_preprocessing(trained, layout),
        lambda model: stream_parity(model, layout),
    )


def _script(script: ModuleType, way: Way) -> str:
    """Return the text of a script that loads this kind of file; as it stands it loads ONNX."""
    loader: Any = script
    text = inspect.getsource(script)
    return text.replace(inspect.getsource(loader.load_model), inspect.getsource(way.load))


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
