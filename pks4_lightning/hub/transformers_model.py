"""A published classifier in transformers' interface, ``AutoModelForVideoClassification``.

Importing this module registers the model type; code in a repository is never executed.
transformers' ``pipeline`` is not supported: it takes consecutive frames, which these classifiers
are not trained on.

Dimensions:
    B: clips
    T: frames
    C: RGB
    H, W: pixels
    K: classes
"""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForVideoClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import ImageClassifierOutput
from transformers.utils import CONFIG_NAME, SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from pks4_lightning.hub.download import download, fetch, is_hub_id
from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.pretrained import (
    DESCRIPTION,
    WEIGHTS,
    ClipInput,
    find_export,
    load_classifier,
    read_export,
)

__all__ = ["PKS4ForVideoClassification", "PKS4TransformersConfig", "transformers_config"]

_THEIRS = (CONFIG_NAME, SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME, "model-*.safetensors")
_OF_THE_HUB = ("cache_dir", "force_download", "local_files_only", "token")
_NOT_OURS = ("gguf_file", "state_dict", "subfolder", "variant")
"""What chooses other weights; a folder of `pks4 share` has one set of them."""


class PKS4TransformersConfig(PreTrainedConfig):
    """The contents of ``config.json``.

    Args:
        classifier: The architecture, as in :class:`~pks4_lightning.models.config.PKS4Config`.
        clip: The preprocessing, as in :class:`~pks4_lightning.models.pretrained.ClipInput`.
        **kwargs: Further fields of transformers.
    """

    model_type = "pks4"

    def __init__(
        self,
        classifier: dict[str, Any] | None = None,
        clip: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.classifier = classifier or {}
        self.clip = clip or {}
        super().__init__(**kwargs)


class PKS4ForVideoClassification(PreTrainedModel):
    """A classifier of this package in transformers' interface.

    Args:
        config: Its configuration.
    """

    config_class = PKS4TransformersConfig
    main_input_name = "pixel_values"

    def __init__(self, config: PKS4TransformersConfig) -> None:
        super().__init__(config)
        self.classifier: nn.Module = build_classifier(
            PKS4Config(**config.classifier), load_weights=False
        )
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Leave the weights as initialised by the classifier."""

    def forward(
        self,
        pixel_values: Float[Tensor, "B T C H W"],
        labels: Int[Tensor, " B"] | None = None,
        **kwargs: Any,  # noqa: ARG002 - part of the interface
    ) -> ImageClassifierOutput:
        """Return the logits of clips, and the loss if labels are given.

        Args:
            pixel_values: Normalised clips, time before colour, as in transformers.
            labels: Class of each clip.
            **kwargs: Arguments that trainers pass to any model; not used.
        """
        logits = self.classifier(pixel_values.transpose(1, 2))
        loss = None if labels is None else F.cross_entropy(logits, labels)
        return ImageClassifierOutput(loss=loss, logits=logits)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *args: Any,
        revision: str | None = None,
        **kwargs: Any,
    ) -> "PKS4ForVideoClassification":
        """Load a folder or repository of `pks4 share` or `save_pretrained`.

        If it has the files of both, those of `save_pretrained` are the later ones and are loaded.

        Args:
            pretrained_model_name_or_path: Folder, or hub id.
            *args: As in transformers.
            revision: Branch, tag or commit on the hub.
            **kwargs: As in transformers.

        Raises:
            FileNotFoundError: If there is no such folder and no such repository.
            ValueError: If a file has been changed, or an argument chooses other weights than
                the folder has.
        """
        source = str(pretrained_model_name_or_path)
        folder = Path(source)
        hub = {name: kwargs.pop(name) for name in _OF_THE_HUB if name in kwargs}
        if is_hub_id(source):
            folder = fetch(source, revision, _THEIRS, **hub)
            if not _is_theirs(folder):
                folder = download(source, revision, **hub)
        for name in ("use_safetensors", "weights_only"):  # always
            kwargs.pop(name, None)
        ours = None if _is_theirs(folder) else find_export(folder)
        if ours is None:
            loaded = super().from_pretrained(
                str(folder), *args, use_safetensors=True, weights_only=True, **kwargs
            )
        else:
            if refused := [name for name in _NOT_OURS if kwargs.pop(name, None)]:
                raise ValueError(
                    f"{source} has one set of weights: leave out {', '.join(refused)}."
                )
            kwargs = _with_config(ours, kwargs)
            classifier, _ = load_classifier(ours)
            weights = {f"classifier.{name}": each for name, each in classifier.state_dict().items()}
            loaded = super().from_pretrained(
                None, *args, state_dict=weights, weights_only=True, **kwargs
            )
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        model.config.name_or_path = source
        return loaded

    def save_pretrained(self, save_directory: str | Path, *args: Any, **kwargs: Any) -> None:
        """Save as in transformers, in place of the weights of `pks4 share` if the folder has them.

        Args:
            save_directory: The folder.
            *args: As in transformers.
            **kwargs: As in transformers.
        """
        super().save_pretrained(save_directory, *args, **kwargs)
        for name in (WEIGHTS, DESCRIPTION):  # they would be loaded instead of what has been saved
            (Path(save_directory) / name).unlink(missing_ok=True)


def _is_theirs(folder: Path) -> bool:
    """Return whether a folder has weights of `save_pretrained`."""
    return any((folder / name).is_file() for name in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME))


def _with_config(folder: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments of ``from_pretrained`` with the configuration of a folder of `pks4 share`.

    The configuration may be given, with other names of classes for example, and fields of it may
    be among the arguments; the architecture is always that of the weights.
    """
    architecture, clip, *_ = read_export(folder)
    own = transformers_config(architecture, clip)
    given = arguments.pop("config", None)
    if isinstance(given, PKS4TransformersConfig):
        config = copy.deepcopy(given)
        config.classifier, config.clip = own.classifier, own.clip
    else:
        config, arguments = PKS4TransformersConfig.from_dict(
            own.to_dict(), return_unused_kwargs=True, **arguments
        )
    return {**arguments, "config": config}


def transformers_config(config: PKS4Config, clip: ClipInput) -> PKS4TransformersConfig:
    """Describe a classifier to transformers.

    Args:
        config: Its whole architecture.
        clip: Its preprocessing.
    """
    return PKS4TransformersConfig(
        classifier=dataclasses.asdict(config),
        clip=dataclasses.asdict(clip),
        id2label=dict(enumerate(clip.label_names)),
        label2id={name: index for index, name in enumerate(clip.label_names)},
        architectures=[PKS4ForVideoClassification.__name__],
    )


AutoConfig.register(PKS4TransformersConfig.model_type, PKS4TransformersConfig, exist_ok=True)
AutoModelForVideoClassification.register(
    PKS4TransformersConfig, PKS4ForVideoClassification, exist_ok=True
)
