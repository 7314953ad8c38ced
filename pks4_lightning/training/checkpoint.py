"""What a checkpoint must fit: the model's tensors, the data's labels; and the settings it holds."""

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from torch import Tensor

__all__ = ["check_label_names", "check_state_dict", "read_checkpoint"]


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of this package; tensors stay on disk until they are touched.

    Args:
        path: A file that `pks4 fit` wrote.

    Returns:
        The checkpoint's dictionary. Nothing in it can run code: it is read with
        ``weights_only=True``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read, or is no checkpoint of this package.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no checkpoint {path} (looked in {path.parent.resolve()})."
        )
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, EOFError, BadZipFile, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "unexpected end"
        raise ValueError(f"{path} cannot be read as a checkpoint: {reason}") from error
    if not isinstance(checkpoint, dict) or "classifier" not in checkpoint.get(
        "hyper_parameters", {}
    ):
        raise ValueError(
            f"{path} is not a checkpoint of pks4_lightning: it does not say which model it holds."
        )
    return checkpoint


def check_state_dict(saved: Mapping[str, Tensor], model: Mapping[str, Tensor]) -> None:
    """Refuse weights that do not fit the model exactly.

    Args:
        saved: Tensors of the checkpoint.
        model: Tensors of the model they are meant for.

    Raises:
        ValueError: If a tensor is missing, left over or of another shape; the first few are named.
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
            f"The checkpoint is of another architecture than the model: {shown}{more}. Leave out "
            "the options that change --model.classifier, or use the checkpoint's own settings."
        )


def check_label_names(*, saved: Sequence[str], data: Sequence[str]) -> None:
    """Refuse data whose classes are not those, in the same order, that a checkpoint was trained on.

    Args:
        saved: Class names of the checkpoint, by class index.
        data: Class names of the data, by class index.

    Raises:
        ValueError: At the first class that differs.
    """
    if len(saved) != len(data):
        raise ValueError(f"The checkpoint knows {len(saved)} classes, the data {len(data)}.")
    for index, (trained, given) in enumerate(zip(saved, data, strict=True)):
        if trained != given:
            raise ValueError(
                f"Class {index} is {trained!r} in the checkpoint and {given!r} in the data: its "
                "scores would count for the wrong class. If only the order differs, add "
                "--data.remap_labels true; else give the labels of its training (--data.labels)."
            )
