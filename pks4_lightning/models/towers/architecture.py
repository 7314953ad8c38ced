"""A tower's architecture as plain values, which can be saved and rebuilt."""

from collections.abc import Mapping
from typing import Any

from pks4_lightning.models.towers.families import family_of
from pks4_lightning.models.towers.family import TowerFamily
from pks4_lightning.models.towers.files import read_json, require
from pks4_lightning.ranges import check_at_least

__all__ = ["TYPE", "backbone_fields", "family_of_fields", "tower_config"]

TYPE = "model_type"
"""The field that names the family. If it is missing, the family is CLIP, the only one in earlier
versions."""

_DEFAULT_TYPE = "clip_vision_model"
_SIDES = ("image_size", "patch_size")
_SIZES = (*_SIDES, "hidden_size", "num_hidden_layers", "num_attention_heads")


def backbone_fields(
    backbone: str, *, overrides: Mapping[str, Any] | None, from_scratch: bool
) -> dict[str, Any]:
    """Resolve a backbone's architecture to plain values.

    Args:
        backbone: Hub id or local folder.
        overrides: Fields of the tower's configuration in transformers that override its own.
        from_scratch: If ``overrides`` are given, treat them as the whole architecture and do not
            look up ``backbone``.

    Returns:
        ``model_type``, and all fields that determine the architecture or its initialisation.

    Raises:
        FileNotFoundError: If the backbone is neither in a folder nor available from the hub.
        ValueError: If an override is not such a field, a size is below 1, or the family is not
            supported.
    """
    given = dict(overrides or {})
    if from_scratch and given:
        own: dict[str, Any] = {}
        family = family_of(given.pop(TYPE, _DEFAULT_TYPE), where="backbone_config")
    else:
        family, own = _read(backbone)
        stated = given.pop(TYPE, family.model_type)
        if stated != family.model_type:
            raise ValueError(
                f"backbone_config says model_type {stated!r}, but {backbone} is of the type "
                f"{family.model_type!r}: leave model_type out, or set pretrained to false."
            )
    for name in given:
        if name not in family.fields:
            raise ValueError(
                f"backbone_config has no field {name!r}; the fields are {', '.join(family.fields)}."
            )
    config = tower_config({TYPE: family.model_type, **_with_sides({**own, **given}, backbone)})
    fields = {name: getattr(config, name) for name in family.fields}
    check_at_least(1, {f"backbone_config.{name}": fields[name] for name in _SIZES})
    return {TYPE: family.model_type, **fields}


def family_of_fields(fields: Mapping[str, Any]) -> TowerFamily:
    """Return the family of an architecture.

    Args:
        fields: From :func:`backbone_fields`, of this version or an earlier one.

    Raises:
        ValueError: If there is no such family.
    """
    return family_of(fields.get(TYPE, _DEFAULT_TYPE), where="backbone_config")


def tower_config(fields: Mapping[str, Any]) -> Any:
    """Return the transformers configuration object of an architecture.

    Args:
        fields: From :func:`backbone_fields`.

    Raises:
        ValueError: If a field has a value that transformers refuses.
    """
    import transformers

    family = family_of_fields(fields)
    values = {name: value for name, value in fields.items() if name != TYPE}
    try:
        return getattr(transformers, family.config_class)(**values)
    except Exception as error:  # transformers' validation raises various types
        reason = " ".join(str(error).split())
        raise ValueError(f"backbone_config does not describe a tower: {reason}.") from error


def _read(backbone: str) -> tuple[TowerFamily, dict[str, Any]]:
    require(backbone, ("config.json",))
    raw = read_json(backbone, "config.json") or {}
    family = family_of(raw.get(TYPE), where=backbone)
    vision = raw.get("vision_config", raw)
    own = {name: vision[name] for name in family.fields if name in vision}
    if vision is not raw:
        own |= {name: raw[name] for name in family.outer_fields if name in raw}
    return family, own


def _with_sides(fields: dict[str, Any], backbone: str) -> dict[str, Any]:
    """Convert image and patch sizes to single numbers."""
    for name in _SIDES:
        side = fields.get(name)
        if isinstance(side, list | tuple):
            if len(set(side)) != 1:
                raise ValueError(
                    f"{backbone} has {name} {list(side)}: only square images and patches are "
                    "supported."
                )
            fields[name] = side[0]
    return fields
