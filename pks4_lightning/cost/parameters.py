"""Count the parameters of a classifier by part."""

from pks4_lightning.models.video_classifier import VideoClassifier

__all__ = ["count_parameters"]


def count_parameters(classifier: VideoClassifier, *, trainable: bool = False) -> dict[str, int]:
    """Count the parameters of each part.

    Args:
        classifier: The classifier, on any device.
        trainable: Count only parameters that training changes.

    Returns:
        Number of parameters by part; they sum to the whole classifier.
    """
    return {
        part: sum(
            parameter.numel()
            for module in modules
            for parameter in module.parameters()
            if parameter.requires_grad or not trainable
        )
        for part, modules in classifier.parts().items()
    }
