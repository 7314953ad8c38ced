"""Export and load weights as a safetensors file and a JSON file, without Lightning."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import load_file, save_file
from torch import Tensor

from pks4_lightning.files import atomic_write, replaced_folder, sha256_of, write_json
from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.saved_reading import with_first_reading
from pks4_lightning.models.video_classifier import VideoClassifier
from pks4_lightning.suggestions import did_you_mean_path

__all__ = [
    "DESCRIPTION",
    "WEIGHTS",
    "ClipInput",
    "Export",
    "Inference",
    "find_export",
    "load_classifier",
    "read_export",
    "save_weights",
    "weights_file",
]

WEIGHTS = "weights.safetensors"
DESCRIPTION = "classifier.json"
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class ClipInput:
    """The preprocessing of a classifier and the names of its classes.

    Args:
        label_names: Names of the classes, in the order of the logits.
        num_frames: Frames per clip.
        resize: Size before the crop: length of the shorter side, or height and width.
        frame_size: Side of the square crop in pixels.
        mean: RGB mean for normalising values from 0 to 1.
        std: RGB standard deviation, likewise.
        frame_rate: Frames per second of a clip. ``None``: the middle frame of each of
            ``num_frames`` equal parts of the video.
    """

    label_names: list[str]
    num_frames: int
    resize: int | list[int]
    frame_size: int
    mean: list[float]
    std: list[float]
    frame_rate: float | None = None

    @property
    def stream_rate(self) -> float:
        """Frames per second at which a stream is followed: those of the training, or 4."""
        return self.frame_rate or 4.0


@dataclass(frozen=True, kw_only=True)
class Inference:
    """How a classifier scores a video unless it is asked to do otherwise.

    Args:
        num_clips: Clips per video.
        num_crops: Crops per clip.
        precision: Precision of the computation, as in ``trainer.precision``.
    """

    num_clips: int = 1
    num_crops: int = 1
    precision: str = "32-true"


class Export(NamedTuple):
    """The contents of an export."""

    config: PKS4Config
    clip: ClipInput
    weights: dict[str, Tensor]
    inference: Inference | None
    """``None`` in exports of versions before 0.3, which did not record it."""


def save_weights(
    folder: Path,
    *,
    config: PKS4Config,
    weights: Mapping[str, Tensor],
    clip: ClipInput,
    inference: Inference | None = None,
) -> None:
    """Write a classifier into a folder.

    Args:
        folder: Created if necessary; the unchanged files of an earlier export in it are replaced,
            or kept on failure.
        config: The whole architecture
            (:func:`~pks4_lightning.models.resolve.resolve_backbone_config`).
        weights: All tensors of the classifier.
        clip: Its preprocessing.
        inference: Its views and precision. ``None``: one view, in float32.

    Raises:
        FileExistsError: If the folder contains anything else.
    """
    with replaced_folder(folder) as unfinished:
        # each tensor separately: safetensors refuses views into shared memory
        contiguous = {name: tensor.contiguous().clone() for name, tensor in weights.items()}
        with atomic_write(unfinished / WEIGHTS) as path:  # save_file lets nobody else read its file
            save_file(contiguous, path)
        description = {
            "format": _FORMAT,
            "sha256": sha256_of(unfinished / WEIGHTS),
            "classifier": dataclasses.asdict(config),
            "clip": dataclasses.asdict(clip),
        }
        if inference is not None:
            description["inference"] = dataclasses.asdict(inference)
        write_json(unfinished / DESCRIPTION, description)


def find_export(path: str | Path) -> Path | None:
    """Return the folder of an export that a path refers to, or ``None`` if it is not one.

    Args:
        path: The folder, or one of the two files in it.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    if path.is_dir() or path.name in (WEIGHTS, DESCRIPTION):
        return folder if all((folder / name).is_file() for name in (WEIGHTS, DESCRIPTION)) else None
    return None


def weights_file(source: str | Path) -> Path:
    """Return the weights file of an export, or the given file if it is not one.

    Args:
        source: A checkpoint or an export.
    """
    folder = find_export(source)
    return Path(source) if folder is None else folder / WEIGHTS


def read_export(folder: str | Path) -> Export:
    """Read an export of `pks4 export-weights`.

    Args:
        folder: The folder with both files.

    Returns:
        Its contents, with all tensors on the CPU.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file has been changed.
    """
    description, weights = Path(folder) / DESCRIPTION, Path(folder) / WEIGHTS
    for path in (description, weights):
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no {path}" + did_you_mean_path(path, "`pks4 export-weights` writes it")
            )
    try:
        said = json.loads(description.read_text(encoding="utf-8"))
        version, checksum = said["format"], said["sha256"]
        if version != _FORMAT:
            raise ValueError(
                f"its format is {version}, but this version of the package reads {_FORMAT}"
            )
        config = PKS4Config(**with_first_reading(said["classifier"]))
        clip = ClipInput(**said["clip"])
        inference = Inference(**said["inference"]) if "inference" in said else None
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        reason = str(error).rstrip(".")
        raise ValueError(f"{description} does not describe a classifier: {reason}.") from error
    if sha256_of(weights) != checksum:
        raise ValueError(f"{weights} is not the file that {description} describes.")
    return Export(config, clip, load_file(weights), inference)


def load_classifier(folder: str | Path) -> tuple[VideoClassifier, ClipInput]:
    """Rebuild a classifier from an export. Neither a network nor Lightning is needed.

    Args:
        folder: The folder with both files.

    Returns:
        The classifier, in evaluation mode on the CPU, and its preprocessing.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file has been changed, or they do not fit each other.
    """
    config, clip, weights, _ = read_export(folder)
    classifier = build_classifier(config, load_weights=False)
    try:
        classifier.load_state_dict(weights)
    except RuntimeError as error:
        problem = str(error).splitlines()[1].strip()
        raise ValueError(
            f"{Path(folder) / DESCRIPTION} does not describe {Path(folder) / WEIGHTS}: {problem}"
        ) from error
    return classifier.eval(), clip
