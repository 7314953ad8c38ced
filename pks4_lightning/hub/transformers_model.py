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

from pks4_lightning.hub.download import download, is_hub_id
from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.pretrained import ClipInput, find_export, load_classifier, read_export

__all__ = ["PKS4ForVideoClassification", "PKS4TransformersConfig", "transformers_config"]


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

        Args:
            pretrained_model_name_or_path: Folder, or hub id.
            *args: As in transformers.
            revision: Branch, tag or commit on the hub.
            **kwargs: As in transformers.

        Raises:
            FileNotFoundError: If there is no such folder and no such repository.
            ValueError: If a file has been changed.
        """
        source = str(pretrained_model_name_or_path)
        folder = download(source, revision) if is_hub_id(source) else find_export(source)
        if folder is None:
            safe = {"use_safetensors", "weights_only"}
            kwargs = {name: value for name, value in kwargs.items() if name not in safe}
            return super().from_pretrained(
                source, *args, use_safetensors=True, weights_only=True, **kwargs
            )
        config, clip, *_ = read_export(folder)
        model = cls(transformers_config(config, clip))
        model.classifier, _ = load_classifier(folder)
        return model.eval()


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
