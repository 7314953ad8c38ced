"""What an optimiser must know about each parameter: how deep it lies, and whether it decays."""

from torch import nn

from pks4_lightning.models.classifier import PKS4Classifier

__all__ = ["layer_ids", "no_weight_decay_names"]

_UNDECAYED_NAMES = ("bias", "A_log", "D")
_UNDECAYED_MODULES = (nn.LayerNorm, nn.BatchNorm2d, nn.Embedding)


def layer_ids(classifier: PKS4Classifier) -> dict[str, int | None]:
    """Give every parameter its depth, for layer-wise learning rate decay.

    Decided by structure: ask before the parameters are sharded or wrapped, which renames them.

    Args:
        classifier: The classifier.

    Returns:
        Parameter name to layer: 0 for patch, class and position embedding and the norm before the
        blocks; ``i`` for block ``i`` counted from 1; ``None`` for what learns at the full rate:
        everything new, and what the backbone has after the blocks: norm, projection, pooling head.
    """
    ids: dict[str, int | None] = dict.fromkeys(name for name, _ in classifier.named_parameters())
    for depth, path, part in classifier.family.parameters_by_depth(classifier.backbone):
        for name, _ in part.named_parameters():
            ids[f"backbone.{path}.{name}"] = depth
    return ids


def no_weight_decay_names(classifier: PKS4Classifier) -> set[str]:
    """Name the parameters that weight decay must leave alone.

    These are norms, biases, LayerScale, embeddings of class, registers and positions, a pooling
    head's query, ``A_log`` and ``D``. The patch
    embedding is a linear map of pixels and decays like any other weight. Decided by structure,
    never by the number of dimensions, but ask before the parameters are wrapped and renamed.

    Args:
        classifier: The classifier.
    """
    names = set()
    for module_name, module in classifier.named_modules():
        for name, _ in module.named_parameters(recurse=False):
            if isinstance(module, _UNDECAYED_MODULES) or name in _UNDECAYED_NAMES:
                names.add(f"{module_name}.{name}")
    for name, _ in classifier.backbone.named_parameters():
        if f".{name}".endswith(tuple(f".{last}" for last in classifier.family.undecayed)):
            names.add(f"backbone.{name}")
    return names
