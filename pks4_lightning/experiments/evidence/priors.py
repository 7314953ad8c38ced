"""A figure of what a trained arm's priors find in a test clip."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from pks4_lightning.data.clips.normalisation import Normalisation
from pks4_lightning.experiments.cross_validation import listed
from pks4_lightning.experiments.folds import GroupedClip
from pks4_lightning.experiments.plan import Trial
from pks4_lightning.inference import load
from pks4_lightning.models.classifier import PKS4Classifier
from pks4_lightning.pictures.priors import has_priors, prior_figure, prior_maps
from pks4_lightning.training.scoring.prediction_files import read_predictions

__all__ = ["priors_picture"]


def priors_picture(
    trials: Sequence[Trial], clips: Sequence[GroupedClip], *, root: Path
) -> Figure | None:
    """Draw what the first trained model with priors finds in a clip that it classifies correctly.

    Args:
        trials: Finished runs.
        clips: The test clips. The figure shows the first one with the largest amplitude if the
            clips have amplitudes.
        root: Folder that the clips' paths are relative to.

    Returns:
        The figure, or ``None`` if no model with a prior operator classifies a clip correctly.
    """
    for trial in trials:
        trained = load(trial.folder / "checkpoints" / "best.ckpt", device="cpu")
        classifier = trained.classifier
        known = _right_about(trial, clips)
        if not (known and isinstance(classifier, PKS4Classifier) and has_priors(classifier)):
            continue
        clip = max(known, key=lambda each: float(each.amplitude or 0.0))
        video = trained.preprocess(str(root / clip.path), num_clips=1, num_crops=1)
        mean, std = ((r, g, b) for r, g, b in (trained.clip.mean, trained.clip.std))
        return prior_figure(
            Normalisation(mean, std).to_pixels(video)[0].numpy(),
            prior_maps(classifier, video),
            title=f"{clip.label} ({clip.path}), as {trial.name} sees it",
        )
    return None


def _right_about(trial: Trial, clips: Sequence[GroupedClip]) -> list[GroupedClip]:
    """Return the clips that a run classifies correctly, in the order of the test."""
    by_path = {clip.path: clip for clip in clips}
    return [
        by_path[listed(video, by_path)]
        for video, label, best in read_predictions(trial.test_folder / "test")
        if label == best[0].name
    ]
