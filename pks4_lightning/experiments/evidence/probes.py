"""Linear probes of the frozen features: what they contain before any training.

A probe on the average of the frames cannot use their order. Probes on the difference between late
and early frames, or on all frames in order, show how much of the order a linear layer can read.

Dimensions:
    N: clips
    M: clips that could be read
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
"""Strengths of the ridge penalty, relative to the mean square of a training clip's features."""

PROBES: dict[str, Callable[[Float[Tensor, "N T F"]], Float[Tensor, "N G"]]] = {
    "linear probe: average of the frames": lambda frames: frames.mean(dim=1),
    "linear probe: late half minus early half": lambda frames: (
        frames[:, (frames.shape[1] + 1) // 2 :].mean(dim=1)
        - frames[:, : frames.shape[1] // 2].mean(dim=1)
    ),
    "linear probe: all frames in order": lambda frames: frames.flatten(1),
}
"""Names of rows, and the input of each probe computed from the features."""


def probe_clips(
    clips: Sequence[GroupedClip],
    tested: Sequence[GroupedClip],
    base: Sequence[str],
    *,
    num_folds: int,
    out: Path,
) -> Right:
    """Fit all probes on the clips' frozen features and report which answers are correct.

    Args:
        clips: All clips; they are divided into the same folds as the runs, or come in a training
            and a test split.
        tested: Clips to classify; those of the test split, if there is one.
        base: Arguments of ``pks4 fit``, with a token cache.
        num_folds: Number of folds of the runs, used if there is no test split.
        out: Folder for the list of clips and for ``probes.csv``, the answers.

    Returns:
        A row for each probe, with a single seed, because nothing is random. A clip that is missing
        or cannot be decoded counts as wrong, and no probe is fitted to it.
    """
    frames, is_read = _frozen(clips, base, out / "lists" / "probes.csv")
    names, labels = np.unique([clip.label for clip in clips], return_inverse=True)
    if clips[0].split:
        folds = np.array(_split_folds(clips))
        answered_folds = [1]
    else:
        folds = np.array(grouped_folds(clips, num_folds))
        answered_folds = list(range(1, num_folds + 1))
    answer_names = [*names, ""]  # the last, -1, is that of a clip without an answer
    place = {clip.path: number for number, clip in enumerate(clips)}
    places = [place[clip.path] for clip in tested]
    right, lines = {}, []
    for row, features in PROBES.items():
        answers = np.full(len(clips), -1)
        answers[is_read] = probe_answers(
            features(frames), labels[is_read], folds[is_read], tested=answered_folds
        )
        right[row] = (answers == labels)[None, places]
        lines += [[row, clips[n].path, clips[n].label, answer_names[answers[n]]] for n in places]
    write_csv(out / "probes.csv", ["row", "path", "label", "top1"], lines)
    return right


def probe_answers(
    features: Float[Tensor, "N F"],
    labels: Int[np.ndarray, " N"],
    folds: Int[np.ndarray, " N"],
    *,
    tested: Sequence[int],
) -> Int[np.ndarray, " N"]:
    """Fit a linear probe for every tested fold on all other folds, and classify the fold.

    The probe is ridge regression on the classes, solved in the dual, which is cheap although there
    are many more features than clips. Features are standardised by the training clips. The
    strength of the penalty is chosen on an inner split, whose held-out part is the next fold.

    Args:
        features: Features of the clips.
        labels: Class indices.
        folds: The fold of each clip, counted from 1.
        tested: Folds to classify.

    Returns:
        Class indices; -1 for clips of other folds.
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


def _split_folds(clips: Sequence[GroupedClip]) -> list[int]:
    """Make the test split fold 1, and divide the training split into folds 2 to 6 by groups."""
    groups = dict.fromkeys(clip.group for clip in clips if clip.split != "test")
    fold_of = {group: 2 + number % 5 for number, group in enumerate(groups)}
    return [1 if clip.split == "test" else fold_of[clip.group] for clip in clips]


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
    """Fit ridge regression on some clips; return the highest-scoring classes of others."""
    of_train, of_test = gram[train][:, train], gram[test][:, train]
    mean = targets[train].mean(dim=0)
    ridge = strength * of_train.diagonal().mean() * torch.eye(len(of_train), dtype=gram.dtype)
    weights = torch.linalg.solve(of_train + ridge, targets[train] - mean)
    answers: np.ndarray = (mean + of_test @ weights).argmax(dim=1).numpy()
    return answers


def _frozen(
    clips: Sequence[GroupedClip], base: Sequence[str], table: Path
) -> tuple[Float[Tensor, "M T F"], Bool[np.ndarray, " N"]]:
    """Return tokens, read from or added to the token cache, and the clips that they are of.

    Clips that are missing or cannot be decoded have none.
    """
    write_csv(table, ["path", "label"], [(clip.path, clip.label) for clip in clips])
    lists = [f"--data.{split}={table.absolute()}" for split in ("train", "val", "test")]
    cli = run_cli(["fit", *base, "--data.format=csv", *lists], start=False)
    fit = cli.config["fit"]
    # no batch is read: this only makes model and data agree on the frames and the frozen blocks
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
    frames, is_valid = [], []
    for batch in cli.datamodule.test_dataloader():
        frames.append(batch["video"][batch["valid"]].flatten(2))
        is_valid.append(batch["valid"])
    missing = set(cli.datamodule.missing_videos("test"))
    is_read = np.array([clip.path not in missing for clip in clips])
    is_read[is_read] = torch.cat(is_valid).numpy()
    return torch.cat(frames), is_read
