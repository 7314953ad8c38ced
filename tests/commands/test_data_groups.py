"""``pks4 data groups``: a table of clips and scenes from a flat folder."""

import csv

import av
import numpy as np
import pytest

from pks4_lightning.__main__ import main
from pks4_lightning.experiments.folds import read_clips

SCENES = {"meadow": (60, 150, 40), "wall": (150, 140, 130), "night": (20, 20, 60)}


def write_clip(path, colour, seed):
    """Write a clip of a moving square on a scene's colour, whose upper half is lighter."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(8):
            picture = np.full((48, 64, 3), colour, dtype=np.uint8)
            picture[:24] += 40
            picture += rng.integers(0, 12, picture.shape, dtype=np.uint8)
            picture[10:20, 6 * number : 6 * number + 10] = (200, 150, 120)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flat")
    for number, colour in enumerate(SCENES.values()):
        for take, label in enumerate(("left", "right", "left")):
            write_clip(folder / f"clip_{label}_{3 * number + take}.mp4", colour, seed=take)
    return folder


def test_scenes_are_distinguished_and_classes_read_from_names(flat, capsys):
    (flat / "note_without_number.mp4").write_bytes(b"")
    assert main(["data", "groups", str(flat), "--num_groups", "3"]) == 0
    assert "9 videos of 2 classes in 3 groups" in capsys.readouterr().out
    clips = read_clips(flat / "index.csv")
    numbers = [int(clip.path.removesuffix(".mp4").rpartition("_")[2]) for clip in clips]
    by_scene = {number // 3: clip.group for number, clip in zip(numbers, clips, strict=True)}
    assert len(set(by_scene.values())) == 3
    assert all(
        clip.group == by_scene[number // 3] for number, clip in zip(numbers, clips, strict=True)
    )
    assert all(clip.label in clip.path for clip in clips)
    with (flat / "index.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["path", "label", "group"]
    assert main(["data", "groups", str(flat), "--num_groups", "3"]) == 1
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num_groups", "3", "--label", "take_(.*)"], "videos in"),
        (["--num_groups", "3", "--label", "clip"], "has no group in parentheses"),
        (["--num_groups", "3", "--label", "("], "is not a regular expression"),
        (
            ["--num_groups", "3", "--classes", "up"],
            "no video of the class 'up'; the classes are left, r",
        ),
        (["--num_groups", "5", "--classes", "right"], "3 videos are too few for 5 groups"),
        (["--num_groups", "30"], "9 videos are too few for 30 groups"),
    ],
)
def test_user_errors_are_one_sentence(flat, capsys, arguments, message):
    (flat / "index.csv").unlink(missing_ok=True)
    assert main(["data", "groups", str(flat), *arguments]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert message in error
    assert not (flat / "index.csv").exists()
