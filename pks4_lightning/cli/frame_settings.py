"""Fill in the frame settings that a user leaves to the backbone."""

from jsonargparse import Namespace

from pks4_lightning.data.clips.frame_settings import FrameSettings
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.resolve import preprocessing_of

__all__ = ["fill_in_frames"]


def fill_in_frames(settings: Namespace) -> None:
    """Resolve ``data.frame_size``, ``resize``, ``mean`` and ``std`` where they are null.

    The configuration and checkpoints of the run then record the values, so that reading them does
    not require the backbone.

    Args:
        settings: Parsed settings of a training, a test or a prediction.

    Raises:
        FileNotFoundError: If the backbone is needed and not found.
        ValueError: If the settings of the classifier are invalid.
    """
    data = settings.data
    given = FrameSettings(
        frame_size=data.frame_size, resize=data.resize, mean=data.mean, std=data.std
    )
    if None in (data.frame_size, data.mean, data.std):
        frames = given.completed(
            preprocessing_of(PKS4Config(**settings.model.classifier.as_dict()))
        )
        data.frame_size, data.mean, data.std = frames.size, frames.mean, frames.std
    if data.resize is None:
        data.resize = given.resize_for(data.frame_size)
