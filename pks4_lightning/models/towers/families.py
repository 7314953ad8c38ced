"""The supported families, and finding the family of a tower."""

from pks4_lightning.models.towers.aimv2 import AIMV2
from pks4_lightning.models.towers.clip import CLIP, METACLIP_2
from pks4_lightning.models.towers.dino import DINOV2, DINOV2_WITH_REGISTERS, DINOV3
from pks4_lightning.models.towers.family import TowerFamily
from pks4_lightning.models.towers.siglip import SIGLIP
from pks4_lightning.models.towers.vit import VIT

__all__ = ["FAMILIES", "family_of"]

FAMILIES = (CLIP, METACLIP_2, SIGLIP, DINOV2, DINOV2_WITH_REGISTERS, DINOV3, VIT, AIMV2)

_BY_TYPE = {
    model_type: family
    for family in FAMILIES
    for model_type in (family.model_type, family.whole_model_type)
    if model_type is not None
}


def family_of(model_type: str | None, *, where: str) -> TowerFamily:
    """Return the family with a given ``model_type``, of a tower or of a model that contains one.

    Args:
        model_type: As in ``config.json``.
        where: Source of the value, for the error.

    Raises:
        ValueError: If no family has it.
    """
    family = _BY_TYPE.get(model_type or "")
    if family is not None:
        return family
    known = ", ".join(f"{each.name} ({each.model_type})" for each in FAMILIES)
    reads = ", which reads text" if "text" in (model_type or "") else ""
    if model_type == "siglip2":
        reads = ", a SigLIP 2 of variable image size; only fixed sizes are supported"
    raise ValueError(
        f"{where} contains a {model_type!r} model{reads}: the backbone must be an image "
        f"transformer of one of these families: {known}."
    )
