"""The folder that `pks4 export` writes: a model, its preprocessing, and a script that uses both."""

import inspect
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from pks4_lightning.export.graph import StateLayout, trace, trace_step
from pks4_lightning.export.parity import clip_parity, stream_parity
from pks4_lightning.export.preprocessing import clip_preprocessing, step_preprocessing
from pks4_lightning.export.scripts import clips, stream, video
from pks4_lightning.export.ways import WAYS, Graph, Way
from pks4_lightning.files import replaced_folder, write_json
from pks4_lightning.models.video_classifier import VideoClassifier
from pks4_lightning.training.checkpoints.trained import Trained, rebuild
from pks4_lightning.version import __version__

__all__ = ["export_classifier", "script_files"]

_LABELS, _PREPROCESSING, _PARITY = "labels.txt", "preprocessing.json", "parity.json"


class _Export(NamedTuple):
    """The parts of an export that are the same for every file format."""

    graph: Graph
    script: ModuleType
    preprocessing: dict[str, object]
    prove: Callable[[Any], dict[str, Any]]
    """Compares the model as loaded by the script with the classifier."""


def export_classifier(trained: Trained, folder: Path, *, to: str, step: bool = False) -> float:
    """Write a classifier as a file that runs without this package, and check its output.

    Args:
        trained: The classifier. It is exported in float32.
        folder: New, empty, or with only the unchanged files of an earlier export, which is kept
            on failure.
        to: ``torch``, ``onnx`` or ``aoti``.
        step: Export a causal classifier's streaming step: it takes the next frame and a state, and
            returns logits and the next state.

    Returns:
        The largest difference between the logits of the file and those of the classifier.

    Raises:
        FileExistsError: If the folder holds anything else.
        ValueError: If the file's logits differ from the classifier's, a required package is
            missing, the clips need more than scaling and cropping, or the classifier cannot
            process a stream.
    """
    way, clip = WAYS[to], trained.clip
    way.check_packages()
    sides = [clip.resize] if isinstance(clip.resize, int) else clip.resize
    if min(sides) < clip.frame_size:
        raise ValueError(
            f"Frames are scaled to {clip.resize} and cropped to {clip.frame_size}: the script "
            "of an exported model cannot crop beyond the scaled frame."
        )
    with replaced_folder(folder) as unfinished:
        export = (_of_step if step else _of_clips)(trained, rebuild(trained).float())
        way.write(export.graph, unfinished / way.file)
        for name, text in script_files(export.script, way).items():
            (unfinished / name).write_text(text, encoding="utf-8")
        names = [" ".join(name.splitlines()) for name in clip.label_names]
        listed = "".join(f"{name}\n" for name in names)
        (unfinished / _LABELS).write_text(listed, encoding="utf-8")
        write_json(unfinished / _PREPROCESSING, export.preprocessing)
        parity = export.prove(way.load(unfinished))
        if not parity["max_abs_difference"] <= parity["tolerance"]:
            raise ValueError(
                f"The exported model disagrees with the classifier: logits differ by up to "
                f"{parity['max_abs_difference']:.2g}, and at most {parity['tolerance']:g} is "
                f"allowed. Nothing was written to {folder}."
            )
        versions = {"pks4-lightning": __version__} | {
            name: version(name) for name in ("torch", *way.packages)
        }
        write_json(
            unfinished / _PARITY,
            parity
            | {"versions": versions}
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


def script_files(script: ModuleType, way: Way) -> dict[str, str]:
    """Return the text of a script and of what it imports, by the names of the files.

    Args:
        script: A module of ``export/scripts``. It loads ONNX, and imports this package.
        way: The kind of model that the script is to load.
    """
    loader: Any = script
    text = inspect.getsource(script).replace(f"{video.__name__} import", "video import")
    text = text.replace(inspect.getsource(loader.load_model), inspect.getsource(way.load))
    return {"run.py": text, "video.py": inspect.getsource(video)}
