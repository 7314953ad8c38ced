"""Linear probes of the frozen features: what is in them before anything is trained.

A probe that reads the frames' average sees no order. One that reads their difference in time, or
all frames in order, shows how much of the order a linear layer finds in the features as they are.

Dimensions:
    N: clips
    T: frames
    F: features of a frame, those of all its tokens
    K: classes
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from lightning.pytorch import Trainer
from torch import Tensor

from pks4_lightning.cli.lightning_cli import run_cli
from pks4_lightning.experiments.comparison import Right
from pks4_lightning.experiments.folds import GroupedClip, grouped_folds
from pks4_lightning.files import write_csv

__all__ = ["PROBES", "probe_answers", "probe_clips"]

_STRENGTHS = tuple(10.0**power for power in range(-4, 3))
"""Of the ridge, as shares of the mean square of a training clip's features."""

PROBES: dict[str, Callable[[Float[Tensor, "N T F"]], Float[Tensor, "N G"]]] = {
    "linear probe: average of the frames": lambda frames: frames.mean(dim=1),
    "linear probe: late half minus early half": lambda frames: (
        frames[:, (frames.shape[1] + 1) // 2 :].mean(dim=1)
        - frames[:, : frames.shape[1] // 2].mean(dim=1)
    ),
    "linear probe: all frames in order": lambda frames: frames.flatten(1),
}
"""Names of rows, and what a probe makes of the features."""


def probe_clips(
    clips: Sequence[GroupedClip],
    tested: Sequence[GroupedClip],
    base: Sequence[str],
    *,
    num_folds: int,
    out: Path,
) -> Right:
    """Fit all probes on the clips' frozen features and tell what they are right about.

    Args:
        clips: All clips; in the folds of the trainings, or those of a training and a test split.
        tested: Clips to answer for; those of the test split, if there is one.
        base: Arguments of ``pks4 fit``, with a token cache.
        num_folds: Of the trainings, where there is no such split.
        out: Folder of the list of the clips and of ``probes.csv``, the answers.

    Returns:
        A row for each probe, of one seed: nothing is drawn. A clip that cannot be decoded counts
        as wrong.
    """
    frames, is_read = _frozen(clips, base, out / "lists" / "probes.csv")
    names, labels = np.unique([clip.label for clip in clips], return_inverse=True)
    if clips[0].split:
        # the test is a fold, and five parts of the training clips stand in for the others
        folds = np.array([2 + place % 5 for place in range(len(clips))])
        folds[[clip.split == "test" for clip in clips]] = 1
        answered_folds = [1]
    else:
        folds = np.array(grouped_folds(clips, num_folds))
        answered_folds = list(range(1, num_folds + 1))
    place = {clip.path: number for number, clip in enumerate(clips)}
    places = [place[clip.path] for clip in tested]
    right, lines = {}, []
    for row, features in PROBES.items():
        answers = probe_answers(features(frames), labels, folds, tested=answered_folds)
        right[row] = ((answers == labels) & is_read)[None, places]
        lines += [[row, clips[n].path, clips[n].label, names[answers[n]]] for n in places]
    write_csv(out / "probes.csv", ["row", "path", "label", "top1"], lines)
    return right


def probe_answers(
    features: Float[Tensor, "N F"],
    labels: Int[np.ndarray, " N"],
    folds: Int[np.ndarray, " N"],
    *,
    tested: Sequence[int],
) -> Int[np.ndarray, " N"]:
    """Fit a linear probe for every tested fold on all others, and let it answer for the fold.

    Ridge regression on the classes, in the dual, so that many more features than clips cost
    little. Features are standardised by the training clips. How strong the ridge is, is chosen on
    an inner split, whose held-out part is the fold that comes next.

    Args:
        features: Of the clips.
        labels: Class indices.
        folds: Of the clips, counted from 1.
        tested: Folds to answer for.

    Returns:
        Class indices; -1 for the clips of other folds.
    """
    answers = np.full(len(labels), -1)
    targets = torch.nn.functional.one_hot(torch.from_numpy(labels)).double()
    for fold in tested:
        gram = _gram(features, torch.from_numpy(folds != fold))
        inner = fold % folds.max() + 1
        fitted, chosen_by = (folds != fold) & (folds != inner), folds == inner
        right = [
            float((_ridge(gram, targets, fitted, chosen_by, each) == labels[chosen_by]).mean())
            for each in _STRENGTHS
        ]
        strength = _STRENGTHS[int(np.argmax(right))]
        test = folds == fold
        answers[test] = _ridge(gram, targets, ~test, test, strength)
    return answers


def _gram(features: Float[Tensor, "N F"], train: Bool[Tensor, " N"]) -> Float64[Tensor, "N N"]:
    """Return the inner products of all clips' features, standardised by the training clips."""
    spread, mean = torch.std_mean(features[train], dim=0)
    scaled = (features - mean).div_(spread.clamp_min(1e-6))
    return (scaled @ scaled.T).double()


def _ridge(
    gram: Float64[Tensor, "N N"],
    targets: Float64[Tensor, "N K"],
    train: Bool[np.ndarray, " N"],
    test: Bool[np.ndarray, " N"],
    strength: float,
) -> Int[np.ndarray, " test"]:
    """Fit ridge regression on some clips; return the classes that score highest for others."""
    of_train, of_test = gram[train][:, train], gram[test][:, train]
    mean = targets[train].mean(dim=0)
    ridge = strength * of_train.diagonal().mean() * torch.eye(len(of_train), dtype=gram.dtype)
    weights = torch.linalg.solve(of_train + ridge, targets[train] - mean)
    answers: np.ndarray = (mean + of_test @ weights).argmax(dim=1).numpy()
    return answers


def _frozen(
    clips: Sequence[GroupedClip], base: Sequence[str], table: Path
) -> tuple[Float[Tensor, "N T F"], Bool[np.ndarray, " N"]]:
    """Return the tokens of clips, out of the token cache or into it; and which could be decoded."""
    write_csv(table, ["path", "label"], [(clip.path, clip.label) for clip in clips])
    lists = [f"--data.{split}={table.absolute()}" for split in ("train", "val", "test")]
    cli = run_cli(["fit", *base, "--data.format=csv", *lists], start=False)
    fit = cli.config["fit"]
    # no batch: model and data settle on frames, and the data learns what makes tokens
    trainer = Trainer(
        accelerator=fit.trainer.accelerator,
        precision=fit.trainer.precision,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        limit_test_batches=0,
    )
    trainer.test(cli.model, datamodule=cli.datamodule, verbose=False)
    batches = list(cli.datamodule.test_dataloader())
    frames = torch.cat([batch["video"].flatten(2) for batch in batches])
    return frames, torch.cat([batch["valid"] for batch in batches]).numpy()
