"""Give the saved state of an optimiser to parameters that are grouped in another way."""

from collections.abc import Sequence
from typing import Any

__all__ = ["regrouped"]


def regrouped(saved: dict[str, Any], groups: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the state of an optimiser for other groups of its parameters.

    PyTorch tells parameters by their place among the groups. Here they keep their state by name:
    those that were not trained before have none, and the state of those that are no longer trained
    is dropped.

    Args:
        saved: ``state_dict()`` of the optimiser.
        groups: The new groups, with ``param_names``, learning rates and weight decays.

    Raises:
        ValueError: If the groups differ and the saved ones do not have the names.
    """
    if _sizes(saved["param_groups"]) == _sizes(groups) and not _has_names(saved):
        return saved
    if not _has_names(saved):
        raise ValueError(
            "The checkpoint was written by an earlier version, which does not record the names of "
            "the optimiser's parameters: restore recipe.trains, recipe.embedding_rate and "
            "recipe.decay_class_route, or start a new training from its weights with "
            "--model.init_from."
        )
    key_of = {
        name: key
        for group in saved["param_groups"]
        for name, key in zip(group["param_names"], group["params"], strict=True)
    }
    regrouped = [
        {**group, "params": [key_of.get(name, name) for name in group["param_names"]]}
        for group in groups
    ]
    kept = {key for group in regrouped for key in group["params"]}
    state = {key: value for key, value in saved["state"].items() if key in kept}
    return {"state": state, "param_groups": regrouped}


def _has_names(saved: dict[str, Any]) -> bool:
    return all("param_names" in group for group in saved["param_groups"])


def _sizes(groups: Sequence[dict[str, Any]]) -> list[int]:
    return [len(group["params"]) for group in groups]
