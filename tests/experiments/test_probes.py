"""Linear probes on synthetic features."""

from collections import Counter

import numpy as np
import pytest
import torch

from pks4_lightning.experiments.evidence.probes import PROBES, _split_folds, probe_answers
from pks4_lightning.experiments.folds import GroupedClip

AVERAGE, LATE_MINUS_EARLY, IN_ORDER = PROBES


def clips_of(rng, num_clips=150, num_frames=5):
    """Make clips whose class is the direction of a step in time, added to a random appearance."""
    labels = rng.integers(0, 2, num_clips)
    look = rng.normal(0.0, 1.0, (num_clips, 1, 40))
    time = np.linspace(-1.0, 1.0, num_frames)[None, :, None]
    moves = np.where(labels == 1, 1.0, -1.0)[:, None, None] * time * np.eye(40)[0]
    frames = look + moves + rng.normal(0.0, 0.3, (num_clips, num_frames, 40))
    return torch.from_numpy(frames).float(), labels


@pytest.mark.parametrize(
    ("probe", "low", "high"),
    [(AVERAGE, 0.3, 0.7), (LATE_MINUS_EARLY, 0.95, 1.0), (IN_ORDER, 0.9, 1.0)],
)
def test_only_probes_that_see_order_find_the_direction(probe, low, high):
    frames, labels = clips_of(np.random.default_rng(0))
    folds = np.arange(len(labels)) % 5 + 1
    answers = probe_answers(PROBES[probe](frames), labels, folds, tested=[1, 2, 3, 4, 5])
    assert low <= (answers == labels).mean() <= high
    # with shuffled labels, accuracy is at chance
    shuffled = np.random.default_rng(1).permutation(labels)
    answers = probe_answers(PROBES[probe](frames), shuffled, folds, tested=[1, 2, 3, 4, 5])
    assert 0.3 <= (answers == shuffled).mean() <= 0.7


def test_no_answer_depends_on_the_labels_of_its_own_fold():
    frames, labels = clips_of(np.random.default_rng(0), num_clips=60)
    folds = np.arange(60) % 3 + 1
    features = PROBES[IN_ORDER](frames)
    told = probe_answers(features, labels, folds, tested=[2])
    assert np.array_equal(told >= 0, folds == 2)
    lied = np.where(folds == 2, 1 - labels, labels)
    np.testing.assert_array_equal(told, probe_answers(features, lied, folds, tested=[2]))


def test_an_odd_frame_in_the_middle_belongs_to_neither_half():
    frames = torch.arange(5.0)[None, :, None]
    assert PROBES[LATE_MINUS_EARLY](frames).item() == 3.5 - 0.5
    assert PROBES[AVERAGE](frames).item() == 2.0
    assert PROBES[IN_ORDER](frames).tolist() == [[0.0, 1.0, 2.0, 3.0, 4.0]]


def test_a_split_keeps_its_test_clips_apart_and_its_training_groups_whole():
    clips = [
        GroupedClip(f"{scene}_{number}", "ab"[number % 2], f"scene{scene}", "train")
        for scene in range(7)
        for number in range(4)
    ]
    clips[2:2] = [GroupedClip("x", "a", "scene9", "test"), GroupedClip("y", "b", "scene9", "test")]
    folds = _split_folds(clips)
    assert folds[2:4] == [1, 1]
    of_group = {}
    for clip, fold in zip(clips, folds, strict=True):
        assert of_group.setdefault(clip.group, fold) == fold
    assert Counter(of_group.values()) == {1: 1, 2: 2, 3: 2, 4: 1, 5: 1, 6: 1}
