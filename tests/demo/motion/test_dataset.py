"""The demo set: time reversal, determinism, the layout of the folder, existing folders."""

import io
import json

import av
import numpy as np
import pytest

from pks4_lightning.__main__ import main
from pks4_lightning.demo.motion.clips import encode_webm, label_names, make_clip, pair_of
from pks4_lightning.demo.motion.dataset import generate_motion_dataset
from pks4_lightning.demo.motion.paths import MOTIONS, draw_scene
from pks4_lightning.demo.motion.settings import HARD, MotionSettings

ALL_MOTIONS = MotionSettings(motions=tuple(MOTIONS))
SMALL = MotionSettings(size=32, num_frames=4)
NUM_LABELS = 2 * len(MOTIONS)


def decode(content):
    with av.open(io.BytesIO(content)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def files_of(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("pair", range(len(MOTIONS)), ids=tuple(MOTIONS))
def test_a_class_is_its_partner_played_backwards(pair):
    first = make_clip(2 * pair, number=5, seed=3, settings=ALL_MOTIONS).frames
    second = make_clip(2 * pair + 1, number=5, seed=3, settings=ALL_MOTIONS).frames
    np.testing.assert_array_equal(first[::-1], second)
    assert np.abs(first[0].astype(int) - first[-1]).mean() > 2.0


@pytest.mark.parametrize("pair", range(len(MOTIONS)), ids=tuple(MOTIONS))
def test_coding_leaves_no_trace_of_the_order(pair):
    first, second = (
        decode(
            encode_webm(
                make_clip(label, number=7, seed=0, settings=ALL_MOTIONS).frames,
                frames_per_second=12,
            )
        )
        for label in (2 * pair, 2 * pair + 1)
    )
    np.testing.assert_array_equal(first[::-1], second)


def test_decoded_frames_look_like_the_drawn_ones():
    frames = make_clip(0, number=1, seed=0, settings=MotionSettings()).frames
    decoded = decode(encode_webm(frames, frames_per_second=12))
    assert decoded.shape == frames.shape == (24, 80, 80, 3)
    assert np.abs(decoded.astype(int) - frames).mean() < 6.0


def path_of(motion, number=0):
    rng = np.random.default_rng(number)
    return draw_scene(motion, rng, ALL_MOTIONS).sprites


@pytest.mark.parametrize("number", range(5))
def test_first_classes_move_as_their_names_say(number):
    (left,) = path_of("left_right", number)
    assert np.all(np.diff(left.x) < 0)
    assert 36 <= left.x[0] - left.x[-1] <= 48
    assert np.ptp(left.y) == 0
    (up,) = path_of("up_down", number)
    assert np.all(np.diff(up.y) < 0)
    (towards,) = path_of("towards_away", number)
    assert np.all(np.diff(towards.radius) > 0)
    one, other = path_of("closer_apart", number)
    assert np.all(np.diff(np.hypot(one.x - other.x, one.y - other.y)) < 0)
    (turning,) = path_of("turning", number)
    assert np.all(np.diff(turning.angle) > 0)
    hidden, cover = path_of("covering", number)
    assert np.all(np.diff(np.hypot(hidden.x - cover.x, hidden.y - cover.y)) < 0)
    assert cover.radius[0] > hidden.radius[0]


HARD_LABELS = range(0, 2 * len(HARD.motions), 2)


@pytest.mark.parametrize("label", HARD_LABELS)
def test_a_hard_class_is_its_partner_played_backwards_too(label):
    first, second = (make_clip(label + k, number=4, seed=0, settings=HARD).frames for k in (0, 1))
    np.testing.assert_array_equal(first[::-1], second)


@pytest.mark.parametrize("number", range(5))
def test_the_camera_moves_background_and_bystanders_alike(number):
    scene = draw_scene("left_right", np.random.default_rng(number), HARD)
    (bystander,) = scene.bystanders
    way = np.hypot(np.ptp(bystander.x), np.ptp(bystander.y))
    assert HARD.clutter.drift[0] <= way <= HARD.clutter.drift[1]
    # the background moves with the bystander
    ahead, behind = scene.background[-1], scene.background[0]
    x, y = (path[-1] - path[0] for path in (bystander.x, bystander.y))
    grid = np.arange(20, 60)
    moved = read_between(behind, grid[:, None] - y, grid[None, :] - x)
    np.testing.assert_allclose(ahead[20:60, 20:60], moved, atol=0.004)


def read_between(picture, rows, columns):
    """Sample an image bilinearly at fractional rows and columns."""
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    upper = (1 - right) * picture[top, left] + right * picture[top, left + 1]
    lower = (1 - right) * picture[top + 1, left] + right * picture[top + 1, left + 1]
    return (1 - down) * upper + down * lower


@pytest.mark.parametrize("number", range(5))
def test_the_motion_of_a_hard_class_is_relative_to_the_background(number):
    scene = draw_scene("left_right", np.random.default_rng(number), HARD)
    (left,), (bystander,) = scene.sprites, scene.bystanders
    relative = left.x - bystander.x
    assert np.all(np.diff(relative) < 0)
    assert HARD.slide[0] <= relative[0] - relative[-1] <= HARD.slide[1]
    assert np.ptp(left.y - bystander.y) == pytest.approx(0, abs=1e-9)


def test_a_hard_clip_has_one_placeholder():
    assert len(make_clip(0, number=1, seed=0, settings=HARD).placeholders) == 1


def test_the_hard_set_has_every_held_out_scene_in_both_directions(tmp_path):
    arguments = ["--hard", "--out", str(tmp_path), "--num_train=12", "--num_val=0", "--num_test=24"]
    assert main(["demo-data", *arguments, "--jobs=0"]) == 0
    lists = json.loads((tmp_path / "labels" / "test.json").read_text())
    clips = {each["id"]: decode((tmp_path / "videos" / f"{each['id']}.webm").read_bytes())
             for each in lists}  # fmt: skip
    for name, frames in clips.items():
        assert sum(np.array_equal(frames[::-1], other) for other in clips.values()) == 1, name


def test_left_is_left_on_the_screen():
    frames = make_clip(0, number=11, seed=0, settings=MotionSettings()).frames.astype(float)
    saturation = frames.max(-1) - frames.min(-1)
    columns = (saturation * (saturation > 60)).sum(axis=1)
    centre = (columns * np.arange(80)).sum(1) / columns.sum(1)
    assert centre[0] - centre[-1] > 30


def test_the_look_does_not_depend_on_the_class_within_a_pair():
    for label in range(0, NUM_LABELS, 2):
        clips = [make_clip(label + k, number=2, seed=1, settings=ALL_MOTIONS) for k in (0, 1)]
        assert clips[0].placeholders == clips[1].placeholders


def test_videos_differ_from_each_other_and_between_seeds():
    frames = [
        make_clip(0, number=number, seed=seed, settings=SMALL).frames
        for number, seed in ((1, 0), (2, 0), (1, 1))
    ]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(frames[one].astype(int) - frames[other]).mean() > 5.0


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    return generate_motion_dataset(
        tmp_path_factory.mktemp("motion") / "set",
        num_train=17,
        num_val=8,
        num_test=8,
        seed=4,
        settings=SMALL,
        num_workers=0,
    )


def test_bytes_do_not_depend_on_the_run_or_the_number_of_processes(small_set, tmp_path):
    again = generate_motion_dataset(
        tmp_path / "set",
        num_train=17,
        num_val=8,
        num_test=8,
        seed=4,
        settings=SMALL,
        num_workers=2,
    )
    assert files_of(again) == files_of(small_set)


def test_layout_is_something_something_v2s(small_set):
    index = json.loads((small_set / "labels" / "labels.json").read_text())
    assert index == {name: str(label) for label, name in enumerate(label_names(SMALL))}
    seen = []
    for split, amount in (("train", 17), ("validation", 8), ("test", 8)):
        entries = json.loads((small_set / "labels" / f"{split}.json").read_text())
        assert len(entries) == amount
        labels = []
        for entry in entries:
            assert set(entry) == {"id", "label", "template", "placeholders"}
            assert (small_set / "videos" / f"{entry['id']}.webm").is_file()
            assert entry["template"].count("[something]") == len(entry["placeholders"])
            assert all(name in entry["label"] for name in entry["placeholders"])
            labels.append(int(index[entry["template"].replace("[", "").replace("]", "")]))
        counts = np.bincount(labels, minlength=8)
        assert counts.max() - counts.min() <= 1
        assert labels != sorted(labels)
        seen += [entry["id"] for entry in entries]
    assert len(set(seen)) == len(seen) == len(list((small_set / "videos").iterdir()))
    assert not list(small_set.rglob(".*"))


def label_of(folder, entry):
    index = json.loads((folder / "labels" / "labels.json").read_text())
    return int(index[entry["template"].replace("[", "").replace("]", "")])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_every_held_out_scene_stands_once_in_each_direction(small_set, split):
    """A model that ignores the order of frames gets exactly half of the directions right."""
    entries = json.loads((small_set / "labels" / f"{split}.json").read_text())
    by_frames = {}
    for entry in entries:
        frames = decode((small_set / "videos" / f"{entry['id']}.webm").read_bytes())
        unordered = tuple(sorted(frame.tobytes() for frame in frames))
        by_frames.setdefault(unordered, []).append((label_of(small_set, entry), frames))
    assert len(by_frames) == len(entries) // 2
    for (one, frames), (other, reverse) in by_frames.values():
        assert {one % 2, other % 2} == {0, 1}
        assert pair_of(one) == pair_of(other)
        np.testing.assert_array_equal(frames[::-1], reverse)


def test_training_videos_hold_their_labels_clips(small_set):
    entries = json.loads((small_set / "labels" / "train.json").read_text())
    for entry in entries[:2]:
        label = label_of(small_set, entry)
        clips = (
            make_clip(label, number=scene, seed=4, settings=SMALL).frames for scene in range(1, 18)
        )
        made = [encode_webm(frames, frames_per_second=12) for frames in clips]
        assert made.count((small_set / "videos" / f"{entry['id']}.webm").read_bytes()) == 1


def test_no_scene_is_shared_between_splits_or_within_training(small_set):
    first_frames = {}
    for split in ("train", "validation", "test"):
        for entry in json.loads((small_set / "labels" / f"{split}.json").read_text()):
            frames = decode((small_set / "videos" / f"{entry['id']}.webm").read_bytes())
            key = min(frames[0].tobytes(), frames[-1].tobytes())
            first_frames.setdefault(key, []).append(split)
    assert sorted(first_frames.values()) == (
        [["test", "test"]] * 4 + [["train"]] * 17 + [["validation", "validation"]] * 4
    )


def test_videos_are_vp9_in_webm(small_set):
    with av.open(small_set / "videos" / "1.webm") as container:
        assert "webm" in container.format.name
        stream = container.streams.video[0]
        assert stream.codec_context.codec.canonical_name == "vp9"
        assert (stream.width, stream.height, stream.average_rate) == (32, 32, 12)


def make_tiny(folder, **changes):
    arguments = {"num_train": 2, "num_val": 0, "num_test": 0, "settings": SMALL, "num_workers": 0}
    return generate_motion_dataset(folder, **(arguments | changes))


def test_a_finished_set_is_left_alone(tmp_path):
    folder = make_tiny(tmp_path / "set")
    (folder / "videos" / "1.webm").write_bytes(b"mine")
    make_tiny(folder)
    assert (folder / "videos" / "1.webm").read_bytes() == b"mine"


def test_an_interrupted_set_is_continued(tmp_path):
    whole = make_tiny(tmp_path / "whole")
    folder = make_tiny(tmp_path / "set")
    (folder / "dataset.json").rename(folder / "dataset.unfinished.json")
    (folder / "videos" / "2.webm").unlink()
    (folder / "labels" / "train.json").unlink()
    kept = (folder / "videos" / "1.webm").stat().st_mtime_ns
    make_tiny(folder)
    assert files_of(folder) == files_of(whole)
    assert (folder / "videos" / "1.webm").stat().st_mtime_ns == kept


@pytest.mark.parametrize("state", ["dataset.json", "dataset.unfinished.json"])
def test_a_set_with_other_settings_is_refused(tmp_path, state):
    folder = make_tiny(tmp_path / "set")
    (folder / "dataset.json").rename(folder / state)
    before = files_of(folder)
    with pytest.raises(ValueError, match="another generated data set"):
        make_tiny(folder, seed=1)
    assert files_of(folder) == before


def test_a_foreign_folder_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="holds other files"):
        make_tiny(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("name", ["num_train", "num_val", "num_test", "seed", "num_workers"])
def test_negative_numbers_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name} is -1; it must be at least 0"):
        make_tiny(tmp_path / "set", **{name: -1})
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 81}, r"size \(81\)"),
        ({"num_frames": 1}, r"num_frames \(1\)"),
        ({"motions": ()}, r"motions \(\(\)\)"),
        ({"motions": ("up_down", "up_down")}, "different names"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        MotionSettings(**changes)


def test_labels_are_paired_two_by_two():
    assert [pair_of(label) for label in range(8)] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len(set(label_names())) == 8
    with pytest.raises(ValueError, match="-1"):
        pair_of(-1)


def test_command_line_writes_a_set_and_reports_a_wrong_value(tmp_path, capsys):
    arguments = ["--num_train", "1", "--num_val", "0", "--num_test", "0", "--jobs", "0"]
    assert main(["demo-data", "--out", str(tmp_path / "set"), *arguments]) == 0
    assert (tmp_path / "set" / "videos" / "1.webm").is_file()
    assert main(["demo-data", "--out", str(tmp_path / "set"), *arguments, "--seed", "1"]) == 1
    assert "another generated data set" in capsys.readouterr().err
