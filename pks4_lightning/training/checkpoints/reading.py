"""Read and validate checkpoints."""

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize

import torch
from torch import Tensor

from pks4_lightning.models.pretrained import find_export
from pks4_lightning.models.saved_reading import with_first_reading
from pks4_lightning.suggestions import did_you_mean_path
from pks4_lightning.training.checkpoints.checksum import check_seal
from pks4_lightning.training.checkpoints.exported import exported_checkpoint
from pks4_lightning.training.checkpoints.other_files import refuse_other_files

__all__ = [
    "check_finite",
    "check_label_names",
    "check_plain",
    "check_state_dict",
    "load_checked",
    "read_checkpoint",
]

_MAX_VALUES = 100_000  # ours have a few hundred


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of this package; tensors stay on disk until they are accessed.

    Args:
        path: A file that `pks4 fit` wrote, or an export of `pks4 export-weights`.

    Returns:
        The checkpoint's dictionary. It cannot execute code: it is read with
        ``weights_only=True``, and its settings are plain values.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, or was not written by this package.
    """
    checkpoint, _ = load_checked(path, mmap=True)
    settings = checkpoint.get("hyper_parameters") if isinstance(checkpoint, dict) else None
    if not isinstance(settings, dict) or "classifier" not in settings:
        keys = checkpoint if isinstance(checkpoint, dict) else ()
        names = [key[:40] for key in keys if isinstance(key, str)][:4]
        holds = f"it contains {', '.join(names)}" if names else "it contains nothing with a name"
        raise ValueError(
            f"{path} was not written by pks4_lightning: {holds}, and "
            "does not describe the model. To use an image tower, set --model.classifier.backbone."
        )
    for name in ("hyper_parameters", "config"):
        try:
            check_plain(checkpoint.get(name, {}))
        except ValueError as error:
            raise ValueError(
                f"{path} is refused because its {name} may contain plain values only: {error}."
            ) from None
    if isinstance(settings["classifier"], dict):
        settings["classifier"] = with_first_reading(settings["classifier"])
    return checkpoint


def check_plain(value: Any) -> None:
    """Refuse anything other than numbers, strings, and lists and mappings of them.

    Args:
        value: The value that was read. An object that is referenced twice counts twice.

    Raises:
        ValueError: If it contains another type, or more than 100,000 values.
    """
    seen = 0
    waiting = [value]
    while waiting:
        part = waiting.pop()
        seen += 1
        if seen + len(waiting) > _MAX_VALUES:
            raise ValueError(f"there are more than {_MAX_VALUES} values")
        if type(part) is dict:
            waiting.extend(part.keys())
            waiting.extend(part.values())
        elif type(part) in (list, tuple):
            waiting.extend(part)
        elif part is not None and type(part) not in (str, int, float, bool):
            raise ValueError(f"there is a {type(part).__name__}")


def load_checked(path: str | Path, *, mmap: bool = False) -> tuple[dict[str, Any], bool]:
    """Load a checkpoint, after verifying the checksum in it, if any.

    Args:
        path: A file written by ``torch.save``, or an export of `pks4 export-weights`.
        mmap: Leave tensors on disk until they are accessed.

    Returns:
        Its contents, and whether they are verified: files of plain Lightning have no checksum.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or contains more than weights and plain values.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"There is no checkpoint {path}"
            + did_you_mean_path(path, f"looked in {path.parent.resolve()}")
        )
    if (folder := find_export(path)) is not None:
        return exported_checkpoint(folder), True
    refuse_other_files(path)
    is_verified = check_seal(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:  # torch's own message advises to trust the file
        raise ValueError(
            f"{path} is refused: it is damaged, or holds more than tensors and plain values, which "
            "could run code."
        ) from error
    except Exception as error:  # a hostile file can make the reader raise anything
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "unexpected end"
        raise ValueError(f"{path} cannot be read as a checkpoint: {reason}") from error
    return content, is_verified


def check_finite(checkpoint: Mapping[str, Any]) -> None:
    """Refuse to save weights or optimiser states from which training cannot recover.

    Args:
        checkpoint: The contents to be saved.

    Raises:
        ValueError: If a value is infinite or NaN; the message names the first such tensor.
    """
    named = [*checkpoint.get("state_dict", {}).items()]
    named += checkpoint.get("current_model_state", {}).items()  # raw weights, beside averaged ones
    for optimizer in checkpoint.get("optimizer_states", []):
        for number, state in optimizer["state"].items():
            named += [(f"{kind} of parameter {number}", value) for kind, value in state.items()]
    for name, value in named:
        if isinstance(value, Tensor) and not value.isfinite().all():
            raise ValueError(
                f"No checkpoint is written because {name} is not finite. The previous checkpoint "
                "is kept."
            )


def check_state_dict(saved: Mapping[str, Tensor], model: Mapping[str, Tensor]) -> None:
    """Refuse weights that do not fit the model exactly.

    Args:
        saved: Tensors of the checkpoint.
        model: Tensors of the model.

    Raises:
        ValueError: If a tensor is missing, unexpected or misshapen; the first few are named.
    """
    problems = [
        f"{name} is {tuple(saved[name].shape)} in the checkpoint and {tuple(model[name].shape)} "
        "in the model"
        for name in model
        if name in saved and saved[name].shape != model[name].shape
    ]
    problems += [f"the checkpoint lacks {name}" for name in model if name not in saved]
    problems += [f"the model has no {name}" for name in saved if name not in model]
    if problems:
        shown = "; ".join(problems[:3])
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError(
            f"The checkpoint has a different architecture from the model: {shown}{more}. Leave out "
            "the options that change --model.classifier, or use the checkpoint's own settings."
        )


def check_label_names(*, saved: Sequence[str], data: Sequence[str]) -> None:
    """Refuse data whose classes differ, in name or order, from those of a checkpoint.

    Args:
        saved: Class names of the checkpoint, by class index.
        data: Class names of the data, by class index.

    Raises:
        ValueError: At the first class that differs.
    """
    if len(saved) != len(data):
        raise ValueError(f"The checkpoint has {len(saved)} classes, the data {len(data)}.")
    for index, (trained, given) in enumerate(zip(saved, data, strict=True)):
        if normalize("NFC", trained) != normalize("NFC", given):
            raise ValueError(
                f"Class {index} is {trained!r} in the checkpoint and {given!r} in the data: its "
                "scores would count for the wrong class. If only the order differs, add "
                "--data.remap_labels true; otherwise set --data.labels to the labels used in "
                "training."
            )
