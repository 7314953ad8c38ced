"""Parameter groups for AdamW: layer-wise learning rates and weight decay.

Reference:
    Bao et al., "BEiT: BERT Pre-Training of Image Transformers", 2021,
    https://arxiv.org/abs/2106.08254: layer i has ``layer_decay ** (num_layers + 1 - i)`` times the
    full learning rate, with the embeddings as layer 0 and block i (from 1) as layer i.
"""

from collections.abc import Iterable, Mapping, Set
from typing import Any

from torch import nn
from torch.nn import Parameter

from pks4_lightning.models.class_route import TokenT1D
from pks4_lightning.models.video_classifier import VideoClassifier

__all__ = ["clean_name", "layer_ids", "no_weight_decay_names", "parameter_groups"]

_UNDECAYED_NAMES = ("bias", "A_log", "D")
_UNDECAYED_ENDING = "_embedding"
_UNDECAYED_MODULES = (nn.LayerNorm, nn.RMSNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.Embedding)

_WRAPPER_PREFIXES = ("_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_orig_mod.")


def layer_ids(
    classifier: VideoClassifier, *, full_rate_embeddings: bool = False
) -> dict[str, int | None]:
    """Return the layer of every parameter, for layer-wise learning rate decay.

    Layers are determined by structure. Call it before parameters are sharded or wrapped, which
    renames them.

    Args:
        classifier: The classifier.
        full_rate_embeddings: Let class, register and position embeddings learn at the full rate;
            the patch embedding stays in layer 0.

    Returns:
        Layer by parameter name: 0 for patch, class and position embeddings and the norm before the
        blocks; ``i`` for block ``i``, counted from 1; ``None`` for parameters with the full rate:
        all new ones, and those of the backbone after the blocks (norm, projection, pooling head).
    """
    ids: dict[str, int | None] = dict.fromkeys(name for name, _ in classifier.named_parameters())
    for depth, path, part in classifier.parts_by_depth():
        for name, _ in part.named_parameters():
            ids[f"{path}.{name}"] = depth
    if full_rate_embeddings:
        ids |= dict.fromkeys(name for name in _embeddings(classifier) if ids[name] == 0)
    return ids


def _embeddings(classifier: VideoClassifier) -> Iterable[str]:
    """Return the names of embedding tables, and of parameters that are not a weight or bias."""
    for module_name, module in classifier.named_modules():
        for name, _ in module.named_parameters(recurse=False):
            if isinstance(module, nn.Embedding) or name not in ("weight", "bias"):
                yield f"{module_name}.{name}"


def no_weight_decay_names(
    classifier: VideoClassifier, *, spare_class_route: bool = False
) -> set[str]:
    """Return the names of the parameters without weight decay.

    These are norms, biases, LayerScale, embeddings of class, registers and positions, learned
    queries, ``A_log`` and ``D``. The patch embedding is a linear map of pixels and decays like any
    other weight. Names are determined by structure, not by the number of dimensions; call it before
    parameters are wrapped and renamed.

    Args:
        classifier: The classifier.
        spare_class_route: Include the class-token convolutions.
    """
    names = classifier.undecayed_names()
    for module_name, module in classifier.named_modules():
        for name, _ in module.named_parameters(recurse=False):
            by_name = name in _UNDECAYED_NAMES or name.endswith(_UNDECAYED_ENDING)
            is_spared_route = spare_class_route and isinstance(module, TokenT1D)
            if by_name or is_spared_route or isinstance(module, _UNDECAYED_MODULES):
                names.add(f"{module_name}.{name}")
    return names


def clean_name(name: str) -> str:
    """Return a parameter's name without the parts added by FSDP and torch.compile."""
    for prefix in _WRAPPER_PREFIXES:
        name = name.replace(prefix, "")
    return name


def parameter_groups(
    parameters: Iterable[tuple[str, Parameter]],
    *,
    layer_ids: Mapping[str, int | None],
    no_decay: Set[str],
    lr: float,
    layer_decay: float,
    weight_decay: float,
    tower_rate: float = 1.0,
) -> list[dict[str, Any]]:
    """Sort parameters into optimiser groups of equal learning rate and weight decay.

    Args:
        parameters: Names and parameters; names may have wrapper prefixes.
        layer_ids: Layer of each parameter: 0 for the embeddings, i for block i, counted from 1;
            ``None`` for what comes after the blocks and for new modules, which train at ``lr``.
        no_decay: Names of the parameters without weight decay.
        lr: Learning rate of new modules and the head.
        layer_decay: Factor per layer, at most 1.
        weight_decay: Weight decay of all other parameters.
        tower_rate: Factor on the learning rates of all layers.

    Returns:
        Groups with ``params`` and ``param_names``, ``lr``, ``weight_decay``, and a ``name`` such as
        ``layer_03_no_decay`` or ``new``, under which the learning rate is logged, in the order of
        the layers.

    Raises:
        ValueError: If a parameter has no entry in ``layer_ids``.
    """
    num_layers = max(layer_id for layer_id in layer_ids.values() if layer_id is not None)
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for wrapped_name, parameter in parameters:
        if not parameter.requires_grad:
            continue
        name = clean_name(wrapped_name)
        if name not in layer_ids:
            raise ValueError(
                f"{name} was added after the classifier was built, so it has no "
                "learning rate: set --model.classifier.scanner to use a module of your own "
                "(docs/extending.md)."
            )
        layer_id = layer_ids[name]
        depth = num_layers + 1 if layer_id is None else layer_id
        share = 1.0 if layer_id is None else tower_rate
        decays = name not in no_decay
        if (depth, decays) not in groups:
            label = "new" if layer_id is None else f"layer_{layer_id:02d}"
            groups[depth, decays] = {
                "name": label if decays else f"{label}_no_decay",
                "lr": lr * share * layer_decay ** (num_layers + 1 - depth),
                "weight_decay": weight_decay if decays else 0.0,
                "params": [],
                "param_names": [],
            }
        groups[depth, decays]["params"].append(parameter)
        groups[depth, decays]["param_names"].append(name)
    return [groups[key] for key in sorted(groups)]
