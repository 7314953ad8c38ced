"""Every window is computed once, also after interruptions and for files that end early."""

from functools import partial

import numpy as np
import pytest
import torch

from pks4_lightning.data.video.video import Video
from pks4_lightning.inference import TrainedClassifier
from pks4_lightning.models.pretrained import ClipInput
from pks4_lightning.models.video_classifier import VideoClassifier
from pks4_lightning.timeline.row_file import RowFile
from pks4_lightning.timeline.window_pass import compute_windows
from pks4_lightning.timeline.windows import plan_windows
from tests.helpers.media import Clip, read_number, write_clip

PLAN = partial(plan_windows, num_frames=3, window=0.4, stride=0.2)


@pytest.fixture(scope="module")
def model():
    clip = ClipInput(
        label_names=["a"], num_frames=3, resize=64, frame_size=64, mean=[0.0] * 3, std=[1.0] * 3
    )
    classifier = VideoClassifier(own_patch_size=8, grid_size=None)
    return TrainedClassifier(classifier, clip, device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A clip of 60 numbered frames at 25 frames per second."""
    return write_clip(tmp_path_factory.mktemp("pass") / "clip", Clip(".mp4", b_frames=2))


def numbers(clips):
    pixels = (255 * clips).permute(0, 2, 3, 4, 1).numpy()
    return torch.tensor([[read_number(frame) for frame in clip] for clip in pixels])


def shown(windows):
    return [list(window.frames) for window in windows]


def test_a_video_that_ends_early_has_the_windows_of_its_actual_length(model, path, tmp_path):
    promised = Video(path, num_frames=80)
    assert len(PLAN(promised)) > len(PLAN(Video(path)))
    rows = RowFile(tmp_path / "rows.npy", block=4)
    windows = compute_windows(model, promised, PLAN, numbers, rows, batch_size=4)
    assert windows == PLAN(Video(path))
    assert rows.finish().tolist() == shown(windows)


def test_finished_windows_are_not_computed_again(model, path, tmp_path):
    whole = PLAN(Video(path))
    computed = []

    def compute(clips):
        if len(computed) == 6:
            raise KeyboardInterrupt
        computed.extend(numbers(clips).tolist())
        return numbers(clips)

    rows = RowFile(tmp_path / "rows.npy", block=3)
    with pytest.raises(KeyboardInterrupt):
        compute_windows(model, Video(path), PLAN, compute, rows, batch_size=3)
    assert computed == shown(whole)[:6]
    again = RowFile(tmp_path / "rows.npy", block=3)
    seen = []
    compute_windows(
        model, Video(path), PLAN, lambda clips: seen.append(len(clips)) or numbers(clips), again,
        batch_size=3,
    )  # fmt: skip
    assert sum(seen) == len(whole) - 6
    assert np.array_equal(again.finish(), shown(whole))
