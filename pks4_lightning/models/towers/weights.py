"""Build a tower with random weights, or load weights that must fit exactly."""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import Any

import torch
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, enable_progress_bars
from safetensors import SafetensorError
from torch import nn

from pks4_lightning.files import find_packaged
from pks4_lightning.models.towers.architecture import family_of_fields, tower_config
from pks4_lightning.models.towers.attention import register_attention
from pks4_lightning.models.towers.family import TowerFamily
from pks4_lightning.models.towers.files import WEIGHT_FILES, require

__all__ = ["build_backbone"]

logger = logging.getLogger(__name__)


def build_backbone(
    fields: Mapping[str, Any], *, weights: str | None, gradient_checkpointing: bool = False
) -> nn.Module:
    """Build a tower.

    Args:
        fields: The architecture, from
            :func:`~pks4_lightning.models.towers.architecture.backbone_fields`.
        weights: Hub id or local folder to load float32 weights from; ``None``: random weights.
        gradient_checkpointing: Recompute each block in the backward pass.

    Returns:
        The tower, in training mode. Parameters that no forward pass uses require no gradient.

    Raises:
        FileNotFoundError: If the weights are neither in a folder nor available from the hub.
        ValueError: If the weights cannot be read, or do not fit the architecture exactly.
    """
    import transformers

    family = family_of_fields(fields)
    model_class = getattr(transformers, family.model_class)
    config = tower_config(fields)
    if weights is None:
        with _quiet():
            tower = model_class._from_config(
                config, attn_implementation=register_attention(), **family.model_arguments
            )
    else:
        tower = _load(find_packaged(weights), model_class, config, family)
    if gradient_checkpointing:
        tower.activation_checkpointing_enable({"use_reentrant": False})
    for name, parameter in tower.named_parameters():
        if name in family.unused:
            parameter.requires_grad_(False)
    return tower.train()


def _load(weights: str, model_class: Any, config: Any, family: TowerFamily) -> Any:
    require(weights, WEIGHT_FILES)
    prefix = family.whole_prefix
    try:
        with _quiet():
            tower, report = model_class.from_pretrained(
                weights,
                config=config,
                dtype=torch.float32,
                attn_implementation=register_attention(),
                ignore_mismatched_sizes=True,  # reported below, all at once
                output_loading_info=True,
                trust_remote_code=False,
                weights_only=True,  # for pytorch_model.bin, if there is no safetensors file
                key_mapping={f"^{re.escape(prefix)}": ""} if prefix else None,
                **family.model_arguments,
            )
    except (UnpicklingError, SafetensorError, EOFError, RuntimeError) as error:
        raise ValueError(
            f"The weights in {weights} are refused: the file is damaged, or holds more than "
            "tensors, which could run code."
        ) from error
    missing = sorted(report["missing_keys"])
    mismatched = [
        f"{name} {tuple(found)} instead of {tuple(expected)}"
        for name, found, expected in sorted(report["mismatched_keys"])
    ]
    left_behind = [key for key in report["unexpected_keys"] if _is_left_behind(key, family)]
    unexpected = sorted(set(report["unexpected_keys"]) - set(left_behind))
    problems = [
        f"{problem}: {', '.join(keys)}"
        for problem, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", mismatched),
        )
        if keys
    ]
    if problems:
        raise ValueError(
            f"The weights in {weights} do not fit the {family.name} tower that backbone and "
            f"backbone_config describe ({'; '.join(problems)})."
        )
    num_tensors = len(tower.state_dict())
    logger.info(
        "Loaded %d of %d tensors (100 %%) of the %s tower from %s; ignored %d that are not part of "
        "the tower.",
        num_tensors,
        num_tensors,
        family.name,
        weights,
        len(left_behind),
    )
    return tower


def _is_left_behind(key: str, family: TowerFamily) -> bool:
    # older versions saved a buffer of indices
    return key.startswith(family.left_behind) or key.endswith("position_ids")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' own report and bars; ours follows. Downloads still show a bar."""
    from transformers.utils import logging as transformers_logging

    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled() and not are_progress_bars_disabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if bars:
        enable_progress_bars()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
