"""The methods that the paper compares PKS^4 with, as arms of an experiment.

All share the data and the recipe of PKS^4's training, except for settings in a configuration of
their own. Sizes are the papers' if the tower is theirs; for a smaller tower they are scaled down.
"""

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pks4_lightning.cli.configs import find_config
from pks4_lightning.cli.settings import Settings
from pks4_lightning.experiments.plan import Arm
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.resolve import without_weights
from pks4_lightning.peers.building import NETWORKS, PEERS
from pks4_lightning.suggestions import did_you_mean_path

__all__ = ["METHODS", "method_arms"]

METHODS = (
    *("pks4", "st_adapter", "aim", "evl", "side4video"),
    *(*NETWORKS, "frame_average", "tsm"),
)
"""Methods that can be compared, by their names in settings."""
_PAPERS_WIDTH = 768  # width of ViT-B


def method_arms(names: Sequence[str], settings: Settings, *, own: str | None = None) -> list[Arm]:
    """List methods as arms.

    Args:
        names: Names from :data:`METHODS`, each once.
        settings: Settings of the training that all share, with PKS^4 as its method.
        own: Folder of configurations, a path or one of the package's; ``METHOD.yaml`` in it is
            added to the settings of that method. Not every method needs one.

    Raises:
        FileNotFoundError: If the backbone's architecture cannot be found, or the folder has no
            configuration for any of :data:`METHODS`.
        ValueError: If there is no such method, or the settings are of another one.
    """
    config = PKS4Config(**settings["model"]["classifier"])
    if config.network is not None or config.temporal != "pks4":
        raise ValueError(
            f"The comparison starts from PKS⁴'s settings, but these are of "
            f"{config.network or config.temporal}: leave model.classifier.temporal and network out."
        )
    tower = without_weights(config).backbone_config or {}
    files = _own_configs(own) if own else {}
    return [
        Arm(
            name,
            (
                *_arguments(name, tower, settings["data"]),
                *_training(name, settings),
                *files.get(name, ()),
            ),
        )
        for name in dict.fromkeys(names)
    ]


def _training(name: str, settings: Settings) -> tuple[str, ...]:
    """Train everything that a method's paper trains, even if PKS⁴'s first blocks are frozen.

    These methods act in or beside all blocks, so no part of the tower can be computed in advance.
    """
    is_within = name in PEERS or name in NETWORKS
    if not is_within or settings["model"]["recipe"]["trains"] != "after_insertion":
        return ()
    return ("--model.recipe.trains", "all", "--data.token_cache", "null")


def _own_configs(folder: str) -> dict[str, tuple[str, ...]]:
    """Return the argument that adds each method's own configuration, if there is one."""
    files: dict[str, tuple[str, ...]] = {}
    for name in METHODS:
        path = f"{folder}/{name}.yaml"
        with contextlib.suppress(FileNotFoundError):
            find_config(path)
            files[name] = ("--config", path)
    if not files:
        raise FileNotFoundError(
            f"There is no configuration of a method in {folder}"
            + did_you_mean_path(
                folder, f"--own needs a folder with files such as {METHODS[1]}.yaml"
            )
        )
    return files


def _arguments(name: str, tower: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[str, ...]:
    if name == "pks4":
        return ()
    if name in NETWORKS:
        # no published weights match the tower; the depth is not that of an image tower
        return (
            *("--model.classifier.network", name),
            *("--model.classifier.pretrained", "false"),
            *("--model.classifier.backbone_config", json.dumps(_network(name, tower, data))),
            *("--model.recipe.layer_decay", "1.0"),
        )
    arguments = ("--model.classifier.temporal", name)
    if name in _SIZES:
        sizes = _SIZES[name](tower, data["num_frames"])
        return (*arguments, "--model.classifier.temporal_config", json.dumps(sizes))
    if name not in METHODS:
        raise ValueError(f"There is no method {name!r}; the methods are {', '.join(METHODS)}.")
    return arguments


def _network(name: str, tower: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Give a network the tower's patches and, for a small tower, its width and twice its depth.

    A layer of VideoMamba has half the parameters of a ViT's block.
    """
    sizes: dict[str, Any] = {
        "image_size": tower["image_size"],
        "patch_size": tower["patch_size"],
        "num_frames": data["num_frames"],
    }
    if tower["hidden_size"] < NETWORKS[name]["hidden_size"]:
        sizes["hidden_size"] = tower["hidden_size"]
        sizes["num_hidden_layers"] = 2 * tower["num_hidden_layers"]
    return sizes


def _st_adapter(tower: Mapping[str, Any], _num_frames: int) -> dict[str, Any]:
    # two adapters per block: the model whose accuracy is in Table 1
    return {"per_block": 2, "d_adapter": min(384, tower["hidden_size"] // 2)}


def _aim(_tower: Mapping[str, Any], num_frames: int) -> dict[str, Any]:
    return {"num_frames": num_frames}


def _evl(tower: Mapping[str, Any], num_frames: int) -> dict[str, Any]:
    return {"num_layers": tower["num_hidden_layers"], "num_frames": num_frames}


def _side4video(tower: Mapping[str, Any], _num_frames: int) -> dict[str, Any]:
    width, depth = tower["hidden_size"], tower["num_hidden_layers"]
    sizes = {"num_layers": min(12, depth)}
    if width < _PAPERS_WIDTH:
        d_head = width // tower["num_attention_heads"]
        return {**sizes, "d_side": 2 * d_head, "d_head": d_head}
    return {**sizes, "d_side": 128 if width == _PAPERS_WIDTH else 320}


_SIZES: dict[str, Callable[[Mapping[str, Any], int], dict[str, Any]]] = {
    "st_adapter": _st_adapter,
    "aim": _aim,
    "evl": _evl,
    "side4video": _side4video,
}
