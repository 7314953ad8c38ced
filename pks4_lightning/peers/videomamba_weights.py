"""Reads VideoMamba's published ``.pth`` files into our modules.

Reference:
    https://huggingface.co/OpenGVLab/VideoMamba, for the names. Files of image and of video models
    use the same names, at the top level or inside ``model`` or ``module``.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pks4_lightning.ops.position_resize import resize_frame_positions, resize_grid_positions
from pks4_lightning.peers.videomamba import VideoMamba
from pks4_lightning.suggestions import did_you_mean_path

__all__ = ["convert_names", "load_published"]

_WRAPPERS = ("model", "module")
_PATCHES = "embedding.patches.weight"
_CLASS = "embedding.class_embedding"
_POSITION = "embedding.position_embedding"
_TEMPORAL = "embedding.temporal_embedding"
_NAMES = {
    "patch_embed.proj.weight": _PATCHES,
    "patch_embed.proj.bias": "embedding.patches.bias",
    "cls_token": _CLASS,
    "pos_embed": _POSITION,
    "temporal_pos_embedding": _TEMPORAL,
    "norm_f.weight": "norm.weight",
}
_LAYERS = ("conv1d.weight", "conv1d.bias", "x_proj.weight", "dt_proj.weight", "dt_proj.bias")
# the published files have the two directions side by side, with a b for the backward one
_MIXER = {
    **{name: f"ahead.{name}" for name in (*_LAYERS, "A_log", "D")},
    **{name.replace(".", "_b."): f"back.{name}" for name in _LAYERS},
    "A_b_log": "back.A_log",
    "D_b": "back.D",
}


def load_published(network: VideoMamba, path: str | Path) -> dict[str, Tensor]:
    """Load the weights of a published file into a network.

    Position embeddings of another grid or another number of frames are interpolated. The file of an
    image model has no temporal embeddings, so they start at zero.

    Args:
        network: A network of the same width and depth.
        path: The file. It is read with ``weights_only=True``, so nothing in it can run code.

    Returns:
        The ``weight`` and ``bias`` of the file's head; empty if it has none.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read, or does not fit the network.
    """
    weights = convert_names(_read(Path(path)))
    head = {
        name.removeprefix("head."): weights.pop(name)
        for name in ("head.weight", "head.bias")
        if name in weights
    }
    own = network.state_dict()
    weights.setdefault(_TEMPORAL, torch.zeros(own[_TEMPORAL].shape))
    _resize_positions(weights, own)
    problems = [f"it lacks {name}" for name in own if name not in weights]
    problems += [f"the network has no {name}" for name in weights if name not in own]
    problems += [
        f"{name} is {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in weights and weights[name].shape != own[name].shape
    ]
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError(
            f"The weights in {path} do not fit the VideoMamba that network and backbone_config "
            f"describe: {'; '.join(problems[:3])}{more}."
        )
    network.load_state_dict(weights)
    return head


def convert_names(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a published state dict, and drop the axes that our modules lack.

    Args:
        published: Tensors by published names. Unknown names are kept.

    Returns:
        Tensors by our names. The patch embedding of a video model, whose kernel covers one frame,
        loses its time axis; embeddings lose their batch axis.
    """
    weights = {_our_name(name): tensor for name, tensor in published.items()}
    if _PATCHES in weights and weights[_PATCHES].ndim == 5:
        weights[_PATCHES] = weights[_PATCHES].squeeze(2)
    for name in (_CLASS, _POSITION, _TEMPORAL):
        if name in weights:
            weights[name] = weights[name].squeeze(0)
    if _CLASS in weights:
        weights[_CLASS] = weights[_CLASS].squeeze(0)
    return weights


def _our_name(name: str) -> str:
    layer, mixer, part = name.partition(".mixer.")
    return f"{layer}{mixer}{_MIXER.get(part, part)}" if mixer else _NAMES.get(name, name)


def _resize_positions(weights: dict[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Resize the embeddings to the network's number of frames and of patches per frame."""
    weights[_TEMPORAL] = resize_frame_positions(weights[_TEMPORAL], len(own[_TEMPORAL]))
    if _POSITION in weights:
        of_class, of_patches = weights[_POSITION].tensor_split([1])
        side = round((len(own[_POSITION]) - 1) ** 0.5)
        weights[_POSITION] = torch.cat([of_class, resize_grid_positions(of_patches, (side, side))])


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(
            f"There are no VideoMamba weights {path}"
            + did_you_mean_path(
                path,
                "point --model.classifier.backbone to a published .pth file, or set "
                "--model.classifier.pretrained false",
            )
        )
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"The weights in {path} are refused: the file is damaged, or holds more than tensors, "
            "which could run code."
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(x, Tensor) for x in content.values()):
        raise ValueError(f"{path} is not a state dict: it must map names to tensors.")
    return content
