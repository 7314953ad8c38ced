"""A published classifier by its id."""

import re
from pathlib import Path

from huggingface_hub import snapshot_download

from pks4_lightning.models.pretrained import DESCRIPTION, WEIGHTS
from pks4_lightning.models.towers.files import hub_reason

__all__ = ["download", "is_hub_id"]


def is_hub_id(source: str) -> bool:
    """Tell whether something is the id of a classifier on the hub, and no path.

    Args:
        source: Such as ``me/pks4-b16-ssv2``.
    """
    return (
        re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", source) is not None
        and not source.endswith((".ckpt", ".safetensors", ".json"))
        and not Path(source).exists()
    )


def download(repo: str, revision: str | None = None) -> Path:
    """Download the two files of a classifier, or find them in the cache.

    Nothing else is asked for, whatever else the repository holds.

    Args:
        repo: Hub id.
        revision: Branch, tag or commit. ``None``: the main branch.

    Returns:
        The folder that holds both.

    Raises:
        FileNotFoundError: If they are not to be had.
    """
    at = f" at revision {revision}" if revision else ""
    try:
        found = snapshot_download(repo, revision=revision, allow_patterns=[WEIGHTS, DESCRIPTION])
    except Exception as error:
        raise FileNotFoundError(
            f"There is no file or folder {repo}, and no classifier of that id{at} is to be had "
            f"from the Hugging Face hub ({hub_reason(error, repo)})."
        ) from error
    folder = Path(found)
    if not all((folder / name).is_file() for name in (WEIGHTS, DESCRIPTION)):
        raise FileNotFoundError(
            f"{repo}{at} on the Hugging Face hub is no classifier of this package: it holds no "
            f"{WEIGHTS} with {DESCRIPTION}. `pks4 share` publishes one."
        )
    return folder
