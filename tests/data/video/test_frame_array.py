"""Frames in memory, compared with the same pictures in a folder."""

import numpy as np
import pytest
import torch
from PIL import Image

from pks4_lightning.data.video.frame_array import FrameArray
from pks4_lightning.data.video.frame_folder import FrameFolder


@pytest.mark.parametrize("resize", [None, 20, (24, 16)])
def test_frames_are_those_of_a_folder_with_the_same_pictures(tmp_path, resize):
    pixels = np.random.default_rng(0).integers(256, size=(5, 40, 48, 3), dtype=np.uint8)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    folder, array = FrameFolder(tmp_path), FrameArray(pixels)
    indices = [3, 0, 3]
    assert torch.equal(array.frames(indices, resize), folder.frames(indices, resize))
    assert array.times.tolist() == folder.times.tolist()
    assert array.duration == folder.duration == 0.2
