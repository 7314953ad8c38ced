"""Download a published classifier by its id."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download

from pks4_lightning.models.pretrained import DESCRIPTION, WEIGHTS
from pks4_lightning.models.towers.files import hub_reason
from pks4_lightning.suggestions import did_you_mean_path

__all__ = ["download", "fetch", "is_hub_id"]


def is_hub_id(source: str) -> bool:
    """Return whether a source is the id of a classifier on the hub rather than a path.

    Args:
        source: Such as ``me/pks4-b16-ssv2``.
    """
    return (
        re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", source) is not None
        and not source.endswith((".ckpt", ".safetensors", ".json"))
        and not Path(source).exists()
    )


def download(repo: str, revision: str | None = None, **options: Any) -> Path:
    """Download the two files of a classifier, or find them in the cache.

    Nothing else is requested, whatever else the repository contains.

    Args:
        repo: Hub id.
        revision: Branch, tag or commit. ``None``: the main branch.
        **options: As in ``huggingface_hub.snapshot_download``.

    Returns:
        The folder with both files.

    Raises:
        FileNotFoundError: If they are not available.
    """
    folder = fetch(repo, revision, (WEIGHTS, DESCRIPTION), **options)
    if not all((folder / name).is_file() for name in (WEIGHTS, DESCRIPTION)):
        raise FileNotFoundError(
            f"{repo}{_at(revision)} on the Hugging Face hub is not a classifier of this package: "
            f"it has no {WEIGHTS} with {DESCRIPTION}. `pks4 share` publishes one."
        )
    return folder


def fetch(repo: str, revision: str | None, names: Collection[str], **options: Any) -> Path:
    """Download files of a repository, or find them in the cache.

    Args:
        repo: Hub id.
        revision: Branch, tag or commit. ``None``: the main branch.
        names: Names or patterns of the files; those that do not exist are left out.
        **options: As in ``huggingface_hub.snapshot_download``.

    Returns:
        The folder that has them.

    Raises:
        FileNotFoundError: If the repository is not available.
    """
    try:
        found = snapshot_download(repo, revision=revision, allow_patterns=[*names], **options)
    except Exception as error:
        raise FileNotFoundError(
            f"There is no file or folder {repo}, and no classifier with that id"
            f"{_at(revision)} is available from the Hugging Face hub ({hub_reason(error, repo)})"
            + did_you_mean_path(repo)
        ) from error
    return Path(found)


def _at(revision: str | None) -> str:
    return f" at revision {revision}" if revision else ""
