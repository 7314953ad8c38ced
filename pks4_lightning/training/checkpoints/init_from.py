"""Start a new training from the weights of another one, possibly with other classes."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from pks4_lightning.models.causal_start import as_causal_start
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.saved_reading import different_readings
from pks4_lightning.models.video_classifier import VideoClassifier
from pks4_lightning.training.checkpoints.reading import check_state_dict, read_checkpoint

__all__ = ["start_from"]

logger = logging.getLogger(__name__)

_PREFIX = "classifier."
_HEAD = "head."


def start_from(
    classifier: VideoClassifier,
    source: str | Path,
    *,
    config: PKS4Config,
    label_names: Sequence[str],
) -> None:
    """Initialise a classifier with the weights of another training.

    The head is used only if both have the same classes in the same order; otherwise it is left
    unchanged. All other weights must fit exactly.

    Args:
        classifier: The classifier, with its own initial weights.
        source: A checkpoint of `pks4 fit`, or an export of `pks4 export-weights`.
        config: What the classifier was built from, complete. If the weights fit, but compute
            another function because a setting differs from the source's, a warning says so.
        label_names: Names of the classes to train on.

    Raises:
        FileNotFoundError: If the source does not exist.
        ValueError: If it is damaged, or has another architecture.
    """
    weights, names, trained_as = _read(Path(source))
    own = classifier.state_dict()
    if classifier.causal and not trained_as["causal"]:
        weights = as_causal_start(weights)
        logger.info(
            "%s uses past and future frames: its taps and offsets are reordered to use past frames "
            "only. This is a warm start; the function changes.",
            source,
        )
        trained_as["causal"] = True
    has_same_classes = list(names) == list(label_names)
    if not has_same_classes:
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith(_HEAD)}
    new = {name for name in own if name.startswith(_HEAD) and name not in weights}
    check_state_dict(weights, {name: own[name] for name in own if name not in new})
    classifier.load_state_dict(weights, strict=False)
    _warn_of_differences(source, trained_as, asdict(config))
    logger.info(
        "Loaded weights of %s, %d tensors; %s.",
        source,
        len(weights),
        "including the head, as the classes are the same"
        if has_same_classes
        else f"with a new head for {len(label_names)} classes in place of its {len(names)}",
    )


def _warn_of_differences(source: str | Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    if not (differing := different_readings(there, here)):
        return
    logger.warning(
        "The weights of %s will not compute what they did: %s. Set %s to continue as they were "
        "trained.",
        source,
        "; ".join(
            f"{name} {_written(old)} there, {_written(new)} here" for name, old, new in differing
        ),
        " ".join(f"--model.classifier.{name} {_written(old)}" for name, old, _ in differing),
    )


def _written(value: Any) -> str:
    """Return a value as a configuration has it."""
    return value if isinstance(value, str) else json.dumps(value)


def _read(source: Path) -> tuple[dict[str, Tensor], list[str], dict[str, Any]]:
    checkpoint = read_checkpoint(source)
    weights = {
        name.removeprefix(_PREFIX): tensor
        for name, tensor in checkpoint["state_dict"].items()
        if name.startswith(_PREFIX)
    }
    trained_as = PKS4Config(**checkpoint["hyper_parameters"]["classifier"])
    return weights, list(checkpoint["label_names"]), asdict(trained_as)
