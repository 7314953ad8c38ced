"""The files of a tower: in a folder, in the Hugging Face cache, or downloaded."""

import json
import logging
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
)

from pks4_lightning.files import find_packaged
from pks4_lightning.suggestions import did_you_mean_path

__all__ = ["WEIGHT_FILES", "hub_reason", "read_json", "require"]

logger = logging.getLogger(__name__)

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""The files that transformers reads, in its order of preference."""

_HUB_TIMEOUT = 5.0


def require(backbone: str, any_of: tuple[str, ...]) -> None:
    """Check that one of the files can be read, or downloaded, without a long wait.

    Args:
        backbone: Hub id or local folder.
        any_of: File names, one of which is enough.

    Raises:
        FileNotFoundError: If none of them exists or is available from the hub.
    """
    backbone = find_packaged(backbone)
    if Path(backbone).is_dir():
        if not any((Path(backbone) / name).is_file() for name in any_of):
            raise FileNotFoundError(
                f"The backbone folder {backbone} contains none of {', '.join(any_of)}; point "
                f"--model.classifier.backbone to a folder written by save_pretrained or "
                f"`pks4 tower fetch`."
            )
        return
    try:
        if any(isinstance(try_to_load_from_cache(backbone, name), str) for name in any_of):
            return
        # fails at once if there is no network; the download itself would retry for 20 s
        HfApi().model_info(backbone, timeout=_HUB_TIMEOUT)
    except HFValidationError:
        raise FileNotFoundError(
            f"The backbone {backbone!r} is neither a local folder nor a hub id"
            + did_you_mean_path(
                backbone,
                "point --model.classifier.backbone to a folder that holds config.json and the "
                "weights",
            )
        ) from None
    except Exception as error:
        raise FileNotFoundError(
            f"The backbone {backbone!r} is not a local folder, is not in the Hugging Face cache "
            f"({constants.HF_HUB_CACHE}) and cannot be downloaded ({hub_reason(error, backbone)})"
            + did_you_mean_path(
                backbone,
                f"run `pks4 tower fetch {backbone} --out FOLDER` on a machine with a network, and "
                "point --model.classifier.backbone to that folder",
            )
        ) from error
    logger.info("Downloading %s from the Hugging Face hub.", backbone)


def read_json(backbone: str, name: str) -> dict[str, Any] | None:
    """Read one of a tower's JSON files.

    Args:
        backbone: Hub id or local folder, of which :func:`require` has found a file.
        name: Name of the file.

    Returns:
        ``None`` if there is no such file.

    Raises:
        ValueError: If it is not a JSON object.
    """
    folder = Path(find_packaged(backbone))
    path = folder / name
    if not folder.is_dir():
        try:
            path = Path(hf_hub_download(backbone, name))
        except (EntryNotFoundError, LocalEntryNotFoundError):
            return None
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} does not describe a tower: it is not a JSON object.")
    return content


def hub_reason(error: Exception, backbone: str) -> str:
    """Describe in a few words why the hub failed.

    Args:
        error: The exception raised by its client.
        backbone: Hub id.
    """
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    if isinstance(error, GatedRepoError):
        return (
            f"it is gated: accept its licence at https://huggingface.co/{backbone}, then log in "
            "with `hf auth login`"
        )
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
