"""Read an export as a checkpoint, so that it can be used wherever one is expected."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pks4_lightning.models.pretrained import read_export

__all__ = ["exported_checkpoint"]


def exported_checkpoint(folder: Path) -> dict[str, Any]:
    """Return the contents of a checkpoint of the exported classifier, without training state.

    Args:
        folder: A folder of `pks4 export-weights`.

    Raises:
        ValueError: If a file in it has been changed.
    """
    config, clip, weights, inference = read_export(folder)
    data, trainer = asdict(clip), {}
    if inference is not None:
        data |= {"num_clips": inference.num_clips, "num_crops": inference.num_crops}
        trainer = {"precision": inference.precision}
    return {
        "label_names": data.pop("label_names"),
        "hyper_parameters": {"classifier": asdict(config)},
        "config": {"data": data, "trainer": trainer},
        "state_dict": {f"classifier.{name}": tensor for name, tensor in weights.items()},
    }
