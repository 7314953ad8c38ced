"""What a tower's pictures looked like: mean, standard deviation and size."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pks4_lightning.models.towers.architecture import family_of_fields
from pks4_lightning.models.towers.files import read_json, require

__all__ = ["Preprocessing", "default_preprocessing", "read_preprocessing"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What frames are made into before a tower sees them.

    Args:
        mean: RGB mean that they are normalised with, for values from 0 to 1.
        std: RGB standard deviation, likewise.
        size: Side of the square in pixels.

    Raises:
        ValueError: If there are not three means and three positive deviations, or no size.
    """

    mean: list[float]
    std: list[float]
    size: int

    def __post_init__(self) -> None:
        colours = [*self.mean, *self.std]
        if len(self.mean) != 3 or len(self.std) != 3 or not all(map(_is_number, colours)):
            raise ValueError(
                f"mean {self.mean} and std {self.std} must be three numbers each, for red, green "
                "and blue"
            )
        if min(self.std) <= 0:
            raise ValueError(f"std {self.std} must be positive")
        if not isinstance(self.size, int) or self.size < 1:
            raise ValueError(f"size {self.size} must be a number of pixels")


def read_preprocessing(backbone: str, fields: Mapping[str, Any]) -> Preprocessing | None:
    """Read the preprocessor file of a tower.

    Args:
        backbone: Hub id or local folder, whose ``config.json`` has been read.
        fields: Its architecture.

    Returns:
        ``None`` if it has none. The size is rounded down to whole patches.

    Raises:
        FileNotFoundError: If the tower itself is not there.
        ValueError: If the file does not say what a preprocessor does.
    """
    require(backbone, ("config.json",))
    raw = read_json(backbone, "preprocessor_config.json")
    if raw is None:
        raw = (read_json(backbone, "processor_config.json") or {}).get("image_processor")
    if raw is None:
        return None
    defaults = default_preprocessing(fields)
    normalises = raw.get("do_normalize", True)
    try:
        return Preprocessing(
            mean=list(raw.get("image_mean", defaults.mean)) if normalises else [0.0, 0.0, 0.0],
            std=list(raw.get("image_std", defaults.std)) if normalises else [1.0, 1.0, 1.0],
            size=_whole_patches(_size(raw) or defaults.size, fields),
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"The preprocessor file of {backbone} is refused: {error}.") from error


def default_preprocessing(fields: Mapping[str, Any]) -> Preprocessing:
    """Return what is usual in a tower's family, for one without a preprocessor file.

    Args:
        fields: The tower's architecture.
    """
    family = family_of_fields(fields)
    size = min(fields["image_size"], family.frame_size or fields["image_size"])
    return Preprocessing(
        mean=list(family.colours.mean),
        std=list(family.colours.std),
        size=_whole_patches(size, fields),
    )


def _size(raw: Mapping[str, Any]) -> int | None:
    """Read the size of what comes out: of the crop if there is one, else of the resized picture."""
    crops = raw.get("do_center_crop", "crop_size" in raw)
    size = raw.get("crop_size" if crops else "size", raw.get("size"))
    if isinstance(size, dict):
        sides = {size[key] for key in ("height", "width", "shortest_edge") if key in size}
        if len(sides) != 1:
            raise ValueError(f"size {size} is not that of a square")
        return sides.pop()
    return size


def _whole_patches(size: Any, fields: Mapping[str, Any]) -> int:
    if not isinstance(size, int):
        raise ValueError(f"size {size} must be a number of pixels")
    patch: int = fields["patch_size"]
    return max(size // patch, 1) * patch


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
