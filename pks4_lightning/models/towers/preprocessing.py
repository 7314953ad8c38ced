"""The preprocessing a tower was trained with: mean, standard deviation and image size."""

from collections.abc import Mapping
from typing import Any

from pks4_lightning.batch import Colour, FrameInput
from pks4_lightning.models.towers.architecture import family_of_fields
from pks4_lightning.models.towers.files import read_json, require

__all__ = ["checked", "default_preprocessing", "read_preprocessing"]


def checked(values: Mapping[str, Any]) -> FrameInput:
    """Validate the preprocessing given by a file or by settings.

    Args:
        values: ``mean``, ``std`` and ``size``.

    Raises:
        ValueError: If there is anything else, there are not three means and three positive
            deviations, or the size is not a number of pixels.
    """
    unknown = values.keys() - {"mean", "std", "size"}
    if unknown:
        raise ValueError(f"there is no field {min(unknown)}, only mean, std and size")
    mean, std = (_colour(name, values[name]) for name in ("mean", "std"))
    size = values["size"]
    if min(std) <= 0:
        raise ValueError(f"std {list(std)} must be positive")
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"size {size!r} must be a number of pixels")
    return FrameInput(mean, std, size)


def read_preprocessing(backbone: str, fields: Mapping[str, Any]) -> FrameInput | None:
    """Read the preprocessor file of a tower.

    Args:
        backbone: Hub id or local folder, whose ``config.json`` has been read.
        fields: Its architecture.

    Returns:
        The preprocessing; ``None`` if there is no file. The size is rounded down to whole patches.

    Raises:
        FileNotFoundError: If the tower itself does not exist.
        ValueError: If the file is not a valid preprocessor file.
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
        found = checked(
            {
                "mean": raw.get("image_mean", defaults.mean) if normalises else [0.0] * 3,
                "std": raw.get("image_std", defaults.std) if normalises else [1.0] * 3,
                "size": _size(raw, defaults.size),
            }
        )
    except ValueError as error:
        raise ValueError(f"The preprocessor file of {backbone} is invalid: {error}.") from error
    return found._replace(size=_whole_patches(found.size, fields))


def default_preprocessing(fields: Mapping[str, Any]) -> FrameInput:
    """Return the default of a tower's family, for a tower without a preprocessor file.

    Args:
        fields: The tower's architecture.
    """
    family = family_of_fields(fields)
    size = min(fields["image_size"], family.frame_size or fields["image_size"])
    return FrameInput(family.colours.mean, family.colours.std, _whole_patches(size, fields))


def _size(raw: Mapping[str, Any], default: int) -> Any:
    """Read the size of the crop if there is one, else that of the resized image."""
    crops = raw.get("do_center_crop", "crop_size" in raw)
    size = raw.get("crop_size" if crops else "size", raw.get("size", default))
    if not isinstance(size, dict):
        return size
    sides = [size[key] for key in ("height", "width", "shortest_edge") if key in size]
    if not sides or sides != sides[:1] * len(sides):
        raise ValueError(f"size {size} is not square")
    return sides[0]


def _whole_patches(size: int, fields: Mapping[str, Any]) -> int:
    patch: int = fields["patch_size"]
    return max(size // patch, 1) * patch


def _colour(name: str, value: Any) -> Colour:
    numbers = list(value) if isinstance(value, list | tuple) else []
    if len(numbers) != 3 or not all(type(number) in (int, float) for number in numbers):
        raise ValueError(f"{name} {value!r} must be three numbers, for red, green and blue")
    red, green, blue = map(float, numbers)
    return red, green, blue
