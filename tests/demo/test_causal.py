"""The causal classifier of the demo, trained as its configuration says (minutes)."""

import csv
import logging
from fractions import Fraction

import av
import pytest

import pks4_lightning
from pks4_lightning.__main__ import main
from pks4_lightning.data.annotations.layout import DataLayout
from pks4_lightning.data.video.video import Video
from pks4_lightning.demo.motion.clips import pair_of
from pks4_lightning.demo.motion.dataset import generate_motion_dataset
from pks4_lightning.timeline.follow import follower
from pks4_lightning.timeline.pacing import at_rate

logger = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return generate_motion_dataset(tmp_path_factory.mktemp("demo") / "data")


@pytest.fixture(scope="module")
def checkpoint(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("causal")
    settings = ["--config", "demo/pks4", "--config", "demo/overrides/causal"]
    settings += ["--data.root", str(data), "--trainer.default_root_dir", str(folder)]
    assert main(["fit", *settings]) == 0
    return folder / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="module")
def videos(data):
    return DataLayout(str(data)).read("test")


def answers(model, video, begin):
    """Return the predicted class after each frame of a stream that begins within a video."""
    following = follower(model, "state")
    frames = ((t - begin, frame) for t, frame in video.timed_frames() if t >= begin)
    ticks = at_rate(frames, model.clip.frame_rate)
    return [int(following.see(tick.time, tick.frame).scores.argmax()) for tick in ticks]


@pytest.mark.slow
@pytest.mark.timeout(1800)  # includes a training
def test_a_motion_is_recognised_while_it_runs(checkpoint, videos):
    model = pks4_lightning.load(checkpoint, device="cpu")
    # an object's place in a video's first frame reveals its direction; in the middle it does not
    for begin in (0.0, 0.9):
        found = [answers(model, Video(videos.path(n)), begin) for n in range(0, len(videos), 2)]
        first, last = (
            sum(each[place] == label for each, label in zip(found, videos.labels[::2], strict=True))
            / len(found)
            for place in (0, -1)
        )
        logger.info("from %.1f s on: %.1f %%, at last %.1f %%", begin, 100 * first, 100 * last)
        assert first <= 0.6 or begin == 0.0
        assert last >= 0.95


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("first", [0, 10, 25, 60])
def test_three_actions_in_one_file_are_three_segments(checkpoint, videos, tmp_path, first):
    chosen, actions = [], []
    for number in range(first, len(videos)):
        if len(chosen) < 3 and pair_of(videos.labels[number]) not in map(pair_of, actions):
            chosen.append(number)
            actions.append(videos.labels[number])
    three = tmp_path / "three.mp4"
    shown = 0
    with av.open(str(three), "w") as written:
        stream = written.add_stream("libx264", rate=12, options={"crf": "10"})
        stream.width = stream.height = 80
        for number in chosen:
            video = Video(videos.path(number))
            for picture in video.frames(range(video.num_frames)):
                frame = av.VideoFrame.from_ndarray(picture.numpy(), format="rgb24")
                frame.pts, frame.time_base = shown, Fraction(1, 12)
                written.mux(stream.encode(frame))
                shown += 1
        written.mux(stream.encode())
    given = ["predict", "--ckpt_path", str(checkpoint), str(three), "--out", str(tmp_path)]
    assert main([*given, "--window", "2.0", "--stride", "1.0"]) == 0
    with (tmp_path / "segments.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = pks4_lightning.load(checkpoint, device="cpu").label_names
    assert [row["label"] for row in rows] == [names[action] for action in actions]
    for row, start in zip(rows, (0.0, 2.0, 4.0), strict=True):
        assert abs(float(row["start"]) - start) <= 1.0
        assert abs(float(row["end"]) - (start + 2.0)) <= 1.0
