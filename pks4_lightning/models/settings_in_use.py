"""The settings of a classifier that have an effect, without those that another setting disables."""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["flat", "has_priors", "settings_in_use"]

_ROUTES_IN_BLOCKS = ("tsm", "token_t1d", "token_shift")


def settings_in_use(classifier: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that equal weights could be trained or used with in different ways.

    Left out are settings that only give weights their shapes or initial values, and settings of how
    a classifier is computed, such as ``compile``.

    Args:
        classifier: All fields of a :class:`PKS4Config` that
            :func:`~pks4_lightning.models.resolve.resolve_backbone_config` has completed.

    Returns:
        Values by name, such as ``causal`` or ``backbone_config.num_attention_heads``.
    """
    used = {name: classifier[name] for name in _names_in_use(classifier)}
    if used.get("residual") == "post_prior" and not has_priors(classifier):
        used["residual"] = "single"  # the same without priors
    return {name: value for name, value in flat(used) if "initializer" not in name}


def has_priors(classifier: Mapping[str, Any]) -> bool:
    """Return whether a classifier has priors.

    Args:
        classifier: Fields of :class:`PKS4Config`; those left out have their defaults.
    """
    is_pks4 = classifier.get("temporal", "pks4") == "pks4" and classifier.get("network") is None
    return is_pks4 and (
        classifier.get("use_variation", True) or classifier.get("use_correlation", True)
    )


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested settings by dotted name, with lists in place of tuples.

    Args:
        settings: Values, or mappings of them, by name.
        prefix: Stands before every name.
    """
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", list(value) if isinstance(value, tuple) else value


def _names_in_use(classifier: Mapping[str, Any]) -> Iterator[str]:
    yield from ("network", "backbone_config", "grid_size", "preprocessing")
    if classifier["network"] is not None:
        return
    yield "temporal"
    match classifier["temporal"]:
        case "pks4":
            yield from _names_of_pks4(classifier)
        case "tsm":
            yield from ("causal", "route_from", "tsm_shifts")
        case "st_adapter" | "aim" | "evl" | "side4video":
            yield "temporal_config"


def _names_of_pks4(classifier: Mapping[str, Any]) -> Iterator[str]:
    route, looks_around = classifier["class_route"], classifier["context_frames"] > 0
    yield from ("class_route", "use_scanner")
    if route in _ROUTES_IN_BLOCKS:
        yield "route_from"
    if route == "tsm":
        yield "tsm_shifts"
    if classifier["use_scanner"]:
        yield from ("use_variation", "use_correlation", "scanner", "bidirectional", "insert_after")
        yield "residual"
    if route != "none" or (has_priors(classifier) and looks_around):
        yield "causal"
    if has_priors(classifier):
        yield "context_frames"
        if not looks_around:
            yield "zero_context"
        if classifier["use_correlation"]:
            yield "window_size"
        if classifier["use_variation"] and (looks_around or classifier["zero_context"] != "self"):
            yield "variation_ends"
