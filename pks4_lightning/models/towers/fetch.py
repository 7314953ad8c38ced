"""Download a tower into a folder, for a machine without a network."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HFValidationError

from pks4_lightning.models.towers.architecture import backbone_fields, family_of_fields
from pks4_lightning.models.towers.files import WEIGHT_FILES, hub_reason

__all__ = ["fetch"]

_DESCRIPTIONS = ("config.json", "preprocessor_config.json", "processor_config.json")


def fetch(backbone: str, folder: Path) -> str:
    """Download only the files that a training reads.

    Args:
        backbone: Hub id.
        folder: Output folder; created if necessary.

    Returns:
        The name of the tower's family.

    Raises:
        FileNotFoundError: If the hub cannot be reached, or has no such tower.
        ValueError: If its family is not supported; its weights are then not downloaded.
    """
    with _asking(backbone):
        found = {file.rfilename for file in HfApi().model_info(backbone).siblings or ()}
    weights = next((name for name in WEIGHT_FILES if name in found), None)
    if weights is None or "config.json" not in found:
        raise FileNotFoundError(
            f"{backbone} has no config.json with weights that transformers can read beside it "
            f"({' or '.join(WEIGHT_FILES)})."
        )
    with _asking(backbone):
        for name in _DESCRIPTIONS:
            if name in found:
                hf_hub_download(backbone, name, local_dir=folder)
    fields = backbone_fields(str(folder), overrides=None, from_scratch=False)
    with _asking(backbone):
        path = hf_hub_download(backbone, weights, local_dir=folder)
        if weights.endswith(".index.json"):
            parts = json.loads(Path(path).read_text(encoding="utf-8"))["weight_map"].values()
            for name in sorted(set(parts)):
                hf_hub_download(backbone, name, local_dir=folder)
    return family_of_fields(fields).name


@contextmanager
def _asking(backbone: str) -> Iterator[None]:
    """Turn errors of the network, the hub or the disk into one sentence."""
    try:
        yield
    except HFValidationError:
        raise FileNotFoundError(
            f"{backbone!r} is not a hub id; a hub id looks like google/siglip2-base-patch16-224."
        ) from None
    except Exception as error:
        raise FileNotFoundError(
            f"{backbone} cannot be downloaded ({hub_reason(error, backbone)})."
        ) from error
