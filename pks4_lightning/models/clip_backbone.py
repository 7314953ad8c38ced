"""CLIP's vision tower from Hugging Face: architecture, weights, and where hooks attach.

The only file that knows transformers.

Reference:
    Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021,
    https://arxiv.org/abs/2103.00020.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeAlias

import torch
from huggingface_hub import HfApi, constants, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, enable_progress_bars
from safetensors import SafetensorError
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from transformers.utils import logging as transformers_logging

from pks4_lightning.models.insertion import HookPoints

__all__ = [
    "VisionTower",
    "backbone_fields",
    "build_backbone",
    "hook_points",
    "parameters_by_depth",
]

logger = logging.getLogger(__name__)

VisionTower: TypeAlias = CLIPVisionModelWithProjection

_FIELDS = (
    "hidden_size",
    "intermediate_size",
    "projection_dim",
    "num_hidden_layers",
    "num_attention_heads",
    "num_channels",
    "image_size",
    "patch_size",
    "hidden_act",
    "layer_norm_eps",
    "attention_dropout",
    "initializer_range",
    "initializer_factor",
)
_WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# the text half of a whole CLIP model, and an index buffer that older versions saved
_LEFT_BEHIND = ("text_model.", "text_projection.", "logit_scale")
_HUB_TIMEOUT = 5.0


def backbone_fields(
    backbone: str, *, overrides: dict[str, Any] | None, from_scratch: bool
) -> dict[str, Any]:
    """Resolve a backbone's architecture to plain values that can be saved and built from.

    Args:
        backbone: Hub id or local folder.
        overrides: ``CLIPVisionConfig`` fields that win over the backbone's own.
        from_scratch: If ``overrides`` are given, take them as the whole architecture and do not
            look ``backbone`` up.

    Returns:
        Every ``CLIPVisionConfig`` field that decides the architecture or its initialisation.

    Raises:
        FileNotFoundError: If the backbone is neither in a folder nor to be had from the hub.
        ValueError: If an override is no such field, or the backbone is no CLIP model.
    """
    overrides = overrides or {}
    for name in overrides:
        if name not in _FIELDS:
            raise ValueError(
                f"backbone_config has no field {name!r}; there are {', '.join(_FIELDS)}."
            )
    own = {} if from_scratch and overrides else _read_fields(backbone)
    config = CLIPVisionConfig(**{**own, **overrides})
    return {name: getattr(config, name) for name in _FIELDS}


def build_backbone(
    fields: dict[str, Any], *, weights: str | None, gradient_checkpointing: bool = False
) -> VisionTower:
    """Build the vision tower with its projection.

    Args:
        fields: The architecture, from :func:`backbone_fields`.
        weights: Hub id or local folder to load float32 weights from; ``None`` draws them.
        gradient_checkpointing: Recompute each block in the backward pass.

    Returns:
        The tower, in training mode.

    Raises:
        FileNotFoundError: If the weights are neither in a folder nor to be had from the hub.
        ValueError: If the weights cannot be read, or do not fit the architecture exactly.
    """
    config = CLIPVisionConfig(**fields)
    if weights is None:
        with _quiet():
            tower = VisionTower._from_config(config, attn_implementation="sdpa")
    else:
        tower = _load(weights, config)
    if gradient_checkpointing:
        tower.activation_checkpointing_enable({"use_reentrant": False})
    return tower.train()


def hook_points(backbone: VisionTower) -> list[HookPoints]:
    """List the places of each block that modules can be inserted at, first block first."""
    return [
        HookPoints(block=block, attention_norm=block.layer_norm1, attention=block.self_attn)
        for block in backbone.vision_model.encoder.layers
    ]


def parameters_by_depth(backbone: VisionTower) -> Iterator[tuple[int | None, str, nn.Module]]:
    """Sort the tower's parts by their distance from the pixels.

    Args:
        backbone: The vision tower.

    Yields:
        Depth, name and module: 0 for the embeddings and the norm before the blocks, ``i`` for
        block ``i`` counted from 1, ``None`` for what follows the blocks.
    """
    tower = backbone.vision_model
    # [sic], as transformers spells it
    yield 0, "vision_model.embeddings", tower.embeddings
    yield 0, "vision_model.pre_layrnorm", tower.pre_layrnorm
    for index, block in enumerate(tower.encoder.layers):
        yield index + 1, f"vision_model.encoder.layers.{index}", block
    yield None, "vision_model.post_layernorm", tower.post_layernorm
    yield None, "visual_projection", backbone.visual_projection


def _read_fields(backbone: str) -> dict[str, Any]:
    _require(backbone, ("config.json",))
    with _quiet():
        raw, _ = CLIPVisionConfig.get_config_dict(backbone)
    if raw.get("model_type") not in ("clip", "clip_vision_model"):
        raise ValueError(
            f"{backbone} holds a {raw.get('model_type')!r} model, not a CLIP model: the backbone "
            f"must be a CLIP vision transformer."
        )
    fields = dict(raw.get("vision_config", raw))
    # in a whole CLIP model both towers project to the width written at the top
    fields["projection_dim"] = raw.get("projection_dim", fields.get("projection_dim", 512))
    return {name: fields[name] for name in _FIELDS if name in fields}


def _load(weights: str, config: CLIPVisionConfig) -> VisionTower:
    _require(weights, _WEIGHT_FILES)
    try:
        with _quiet():
            tower, report = VisionTower.from_pretrained(
                weights,
                config=config,
                dtype=torch.float32,
                attn_implementation="sdpa",
                ignore_mismatched_sizes=True,  # reported below, all at once
                output_loading_info=True,
                trust_remote_code=False,
                weights_only=True,  # of pytorch_model.bin, where there are no safetensors
            )
    except (UnpicklingError, SafetensorError, EOFError, RuntimeError) as error:
        raise ValueError(
            f"The weights in {weights} are refused: they are damaged, or hold more than tensors, "
            "which could run code."
        ) from error
    missing = sorted(report["missing_keys"])
    mismatched = [
        f"{name} {tuple(found)} instead of {tuple(expected)}"
        for name, found, expected in sorted(report["mismatched_keys"])
    ]
    left_behind = [key for key in report["unexpected_keys"] if _is_left_behind(key)]
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
            f"The weights in {weights} do not fit the CLIP vision tower with projection that "
            f"backbone and backbone_config describe ({'; '.join(problems)})."
        )
    num_tensors = len(tower.state_dict())
    logger.info(
        "Loaded %d of %d tensors (100 %%) of the vision tower from %s; left %d behind that belong "
        "to the text tower.",
        num_tensors,
        num_tensors,
        weights,
        len(left_behind),
    )
    return tower


def _is_left_behind(key: str) -> bool:
    return key.startswith(_LEFT_BEHIND) or key.endswith("position_ids")


def _require(backbone: str, any_of: tuple[str, ...]) -> None:
    """Make sure that one of the files can be read, now or by a download, without a long wait."""
    if Path(backbone).is_dir():
        if not any((Path(backbone) / name).is_file() for name in any_of):
            raise FileNotFoundError(
                f"The backbone folder {backbone} holds none of {', '.join(any_of)}; point "
                f"--model.classifier.backbone to a folder written by save_pretrained."
            )
        return
    try:
        if any(isinstance(try_to_load_from_cache(backbone, name), str) for name in any_of):
            return
        # answers at once where there is no network; the download itself would retry for 20 s
        HfApi().model_info(backbone, timeout=_HUB_TIMEOUT)
    except HFValidationError:
        raise FileNotFoundError(
            f"The backbone {backbone!r} is neither a local folder nor a hub id; point "
            f"--model.classifier.backbone to a folder that holds config.json and the weights."
        ) from None
    except Exception as error:
        reason = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else _first_line(error)
        raise FileNotFoundError(
            f"The backbone {backbone!r} is no local folder, is not in the Hugging Face cache "
            f"({constants.HF_HUB_CACHE}) and cannot be downloaded ({reason}); run "
            f"`hf download {backbone}` where there is a network, or point "
            f"--model.classifier.backbone to a folder that holds it."
        ) from error
    logger.info("Downloading %s from the Hugging Face hub.", backbone)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' own report and bars, ours follows; a download still shows its bar."""
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
