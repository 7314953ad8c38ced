"""The motion bench's videos: time reversal, splits by source, determinism and errors."""

import csv
import dataclasses
import json
import shutil
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from pks4_lightning.__main__ import main
from pks4_lightning.cli.settings import resolve
from pks4_lightning.data.clips.sampling import (
    CentredSegmentClipSampler,
    RandomSegmentClipSampler,
)
from pks4_lightning.demo.cutouts.dataset import generate_cutout_dataset
from pks4_lightning.demo.cutouts.scenes import (
    Cutout,
    Scene,
    _spans,
    draw_scene,
    render_scene,
)
from pks4_lightning.demo.cutouts.settings import ONE_MOTION, TWO_MOTIONS, CutoutSettings
from pks4_lightning.demo.cutouts.sources import find_sources
from pks4_lightning.experiments.evidence.tasks import TASKS
from tests.conftest import ROOT

SMALL = CutoutSettings(size=32, num_frames=5, amplitudes=(6, 12), radius=(4.0, 6.0))
SMALL_IN_TURN = dataclasses.replace(SMALL, pairs=TWO_MOTIONS.pairs, num_frames=15)


@pytest.fixture(scope="module")
def sources(motion_set, tmp_path_factory):
    """Nine videos of the demo set in six groups, with a table as written by `pks4 data groups`."""
    folder = tmp_path_factory.mktemp("sources")
    names = [shutil.copy(video, folder) for video in sorted((motion_set / "videos").iterdir())[:9]]
    with (folder / "index.csv").open("w", newline="") as file:
        lines = [(Path(name).name, "any", 1 + place % 6) for place, name in enumerate(names)]
        csv.writer(file).writerows([("path", "label", "group"), *lines])
    return folder


@pytest.fixture(scope="module")
def bench(sources, tmp_path_factory):
    """A small data set: 8 training and 16 test videos."""
    return generate_cutout_dataset(
        tmp_path_factory.mktemp("bench") / "set",
        sources=sources,
        num_train=8,
        num_test=16,
        settings=SMALL,
        num_workers=0,
    )


def table_of(folder):
    with (folder / "annotations.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def decode(path):
    with av.open(path) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def bytes_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}


def test_test_scenes_come_in_both_directions_and_training_scenes_once(bench):
    assert "pairs" not in json.loads((bench / "dataset.json").read_text())["settings"]
    lines = table_of(bench)
    for split, clips_per_scene in (("train", 1), ("test", 2)):
        scenes = [line["group"] for line in lines if line["split"] == split]
        assert set(Counter(scenes).values()) == {clips_per_scene}
    tested = [line for line in lines if line["split"] == "test"]
    for one, other in zip(tested[::2], tested[1::2], strict=True):
        assert (one["group"], one["amplitude"]) == (other["group"], other["amplitude"])
        assert {one["label"], other["label"]} in ({"left", "right"}, {"up", "down"})
        frames = decode(bench / one["path"])
        np.testing.assert_array_equal(frames[::-1], decode(bench / other["path"]))
        assert frames.shape == (5, 32, 32, 3)
    assert set(Counter((line["label"], line["amplitude"]) for line in tested).values()) == {2}


def test_two_motions_come_in_both_orders_and_directions(sources, tmp_path):
    options = {"sources": sources, "num_train": 0, "num_workers": 0}
    bench = generate_cutout_dataset(tmp_path / "set", num_test=4, settings=SMALL_IN_TURN, **options)
    lines = table_of(bench)
    assert [line["label"] for line in lines] == ["left_up", "down_right", "up_left", "right_down"]
    for one, other in (lines[:2], lines[2:]):
        frames = decode(bench / one["path"])
        np.testing.assert_array_equal(frames[::-1], decode(bench / other["path"]))
    assert json.loads((bench / "dataset.json").read_text())["settings"]["pairs"]


@pytest.mark.parametrize("settings", [ONE_MOTION, TWO_MOTIONS])
@pytest.mark.parametrize("num_frames", [8, 16, 20])
def test_both_directions_are_tested_on_the_same_frames(num_frames, settings):
    """A model that ignores the order of frames gets at most one of the two right."""
    length = settings.num_frames
    sampler = CentredSegmentClipSampler(num_frames)
    chosen = sampler.select_frames(length, 0, None)
    assert sorted(length - 1 - frame for frame in chosen) == sorted(chosen)


def test_training_and_test_are_made_of_other_groups(sources):
    found = find_sources(sources, num_frames=5)
    with (sources / "index.csv").open(newline="") as file:
        group = {line["path"]: line["group"] for line in csv.DictReader(file)}
    groups = [{group[source.path] for source in split} for split in (found.train, found.test)]
    assert groups[0].isdisjoint(groups[1])
    assert groups[0] | groups[1] == set(group.values())
    assert len(found.train) > len(found.test) >= 2


def test_equal_seeds_give_equal_bytes_and_existing_videos_stay(sources, bench, tmp_path):
    again = tmp_path / "again"
    options = {"sources": sources, "num_train": 8, "num_test": 16, "settings": SMALL}
    generate_cutout_dataset(again, **options, num_workers=0)
    whole = bytes_of(again)
    assert whole == bytes_of(bench)

    # as after a kill: some videos, without the list and the mark of completion
    (again / "dataset.json").rename(again / "dataset.unfinished.json")
    for path in [again / "annotations.csv", *sorted((again / "videos").iterdir())[:3]]:
        path.unlink()
    kept = {path: path.stat().st_mtime_ns for path in (again / "videos").iterdir()}
    generate_cutout_dataset(again, **options, num_workers=0)
    assert bytes_of(again) == whole
    assert {path: path.stat().st_mtime_ns for path in kept} == kept

    with pytest.raises(ValueError, match="num_test is 15; it must be even"):
        generate_cutout_dataset(again, **options | {"num_test": 15}, num_workers=0)
    with pytest.raises(ValueError, match="holds another generated data set"):
        generate_cutout_dataset(again, **options, seed=1, num_workers=0)


@pytest.mark.parametrize("axis", [0, 1])
def test_the_named_object_moves_by_the_stated_amplitude_and_the_others_jitter(sources, axis):
    found = find_sources(sources, num_frames=5)
    for number in range(5):
        scene = draw_scene(
            [axis],
            amplitude=12,
            sources=found.test,
            folder=sources,
            rng=np.random.default_rng(number),
            settings=SMALL,
        )
        ways = [cutout.way[-1] - cutout.way[0] for cutout in scene.cutouts]
        (moving,) = scene.moving
        named = scene.cutouts[moving].way
        assert ways[moving][axis] == pytest.approx(-12)
        assert np.all(np.diff(named[:, axis]) < 0)
        assert np.ptp(named[:, 1 - axis]) == 0
        del ways[moving]
        assert len(ways) >= SMALL.num_distractors
        assert np.abs(ways).max() <= 2 * SMALL.jitter[1]
        assert np.hypot(*(scene.camera[-1] - scene.camera[0])) <= SMALL.drift[1]


@pytest.mark.parametrize("axes", [(0, 1), (1, 0)])
def test_two_objects_move_in_turn_and_no_frame_tells_which_is_first(sources, axes):
    """Which one is in front, and where each is, does not depend on the order."""
    found = find_sources(sources, num_frames=17)
    scene = draw_scene(
        axes,
        amplitude=12,
        sources=found.test,
        folder=sources,
        rng=np.random.default_rng(0),
        settings=dataclasses.replace(SMALL_IN_TURN, num_frames=17),
    )
    left, up = (scene.cutouts[index].way for index in scene.moving)
    for axis, way in enumerate((left, up)):
        seen = np.flatnonzero(~np.isnan(way[:, 0]))
        assert seen.tolist() == ([4, 5, 6], [10, 11, 12])[axes.index(axis)]
        assert np.all(np.diff(way[seen, axis]) < 0)
        assert np.ptp(way[seen, 1 - axis]) == 0


def test_no_frame_of_two_motions_has_both_or_an_end_of_the_clip_near_it():
    """The priors of a frame cannot tell the order, in training and in the test."""
    settings = resolve(["--config", "egogestar", *TASKS["order"].arguments])
    length, num_frames = TWO_MOTIONS.num_frames, settings["data"]["num_frames"]
    # two operators, one after the other, each with half of the context frames on either side
    reach = 2 * (settings["model"]["classifier"]["context_frames"] // 2)
    times = np.linspace(0.0, 1.0, length)
    first, second = ((start <= times) & (times <= end) for start, end in _spans(2))
    np.testing.assert_array_equal(first, second[::-1])
    draws = [
        CentredSegmentClipSampler(num_frames).select_frames(length, 0, None),
        *(
            RandomSegmentClipSampler(num_frames).select_frames(
                length, 0, torch.Generator().manual_seed(n)
            )
            for n in range(200)
        ),
    ]
    for chosen in draws:
        before, after = (np.flatnonzero(motion[list(chosen)]) for motion in (first, second))
        assert before.size >= 3
        assert after.size >= 3
        assert after[0] - before[-1] > 2 * reach
        assert before[0] >= 2 * reach
        assert num_frames - 1 - after[-1] >= 2 * reach


def test_nothing_hides_two_motions(sources):
    """The camera rests, and there are only the two objects."""
    settings = dataclasses.replace(TWO_MOTIONS, num_frames=15)  # the sources are short
    found = find_sources(sources, num_frames=settings.num_frames)
    for seed in range(20):
        scene = draw_scene(
            (0, 1),
            amplitude=settings.amplitudes[0],
            sources=found.train,
            folder=found.folder,
            rng=np.random.default_rng(seed),
            settings=settings,
        )
        assert len(scene.cutouts) == len(scene.moving) == 2
        assert not scene.drift.any()


def test_the_document_states_the_settings_of_two_motions():
    settings = resolve(["--config", "egogestar", *TASKS["order"].arguments])
    steps, batch = settings["trainer"]["max_steps"], settings["data"]["batch_size"]
    warmup = settings["model"]["recipe"]["warmup_epochs"] * 2000 / batch
    *amplitudes, last = TWO_MOTIONS.amplitudes
    smallest, largest = TWO_MOTIONS.radius
    text = (ROOT / "docs" / "experiments.md").read_text().partition("## Two motions")[2]
    for stated in (
        f"{TWO_MOTIONS.num_frames} frames; sources",
        f"with a radius of {smallest:.0f} to {largest:.0f} pixels",
        f"move by {', '.join(map(str, amplitudes))} or {last} pixels",
        f"`context_frames` is {settings['model']['classifier']['context_frames']}:",
        f"{settings['data']['num_frames']} frames, {steps:,} steps of {batch} clips, of which "
        f"{warmup:.0f} warm up",
    ):
        assert stated in text


def test_the_camera_moves_everything_and_a_cutout_covers_its_background():
    """A cut-out that rests relative to the background stays on the same part of it."""
    ramp = np.broadcast_to(np.arange(60)[:, None, None] * 2, (60, 60, 3)).astype(np.uint8)
    drift = np.array([[-2.5, 1.25], [2.5, -1.25]])
    disc = np.zeros((8, 8, 4))
    disc[2:6, 2:6] = (255.0, 255.0, 255.0, 1.0)
    scene = Scene(
        background=np.stack([ramp, ramp]),
        camera=10 + drift,
        drift=drift,
        cutouts=(Cutout(disc, np.full((2, 2), 16.0)),),
        moving=(0,),
    )
    for frame, (right, down) in zip(render_scene(scene, size=32), drift, strict=True):
        rows, columns = np.nonzero(frame[..., 0] > 250)
        assert columns.mean() + 0.5 == pytest.approx(16.0 - right, abs=0.51)
        assert rows.mean() + 0.5 == pytest.approx(16.0 - down, abs=0.51)
        assert frame[0, 0, 0] == pytest.approx(2 * (10 + down), abs=1)


def test_one_command_makes_it(sources, tmp_path):
    out = tmp_path / "out"
    numbers = ("--num_train", "4", "--num_test", "4", "--jobs", "0")
    assert main(["demo-data", "--out", str(out), "--sources", str(sources), *numbers]) == 0
    assert json.loads((out / "dataset.json").read_text())["num_videos"] == {"train": 4, "test": 4}
    assert {line["amplitude"] for line in table_of(out)} == {"16"}
    assert decode(out / "videos" / "1.webm").shape == (17, 96, 96, 3)


def test_two_motions_need_sources(tmp_path, capsys):
    assert main(["demo-data", "--out", str(tmp_path / "out"), "--two_motions"]) == 1
    assert "--two_motions needs videos to cut objects out of" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("videos", "groups", "message"),
    [
        (0, None, "has 0 readable videos of at least 17 frames"),
        (3, None, "need at least 4: add videos"),
        (6, "aaaaaa", "All 6 videos of"),
        (5, "aaaab", "leave fewer than 2 videos to train or to test on"),
    ],
)
def test_unusable_folders_are_refused_in_one_sentence(
    sources, tmp_path, capsys, videos, groups, message
):
    for path in sorted(sources.glob("*.webm"))[:videos]:
        shutil.copy(path, tmp_path)
    if groups is not None:
        paths = sorted(tmp_path.glob("*.webm"))
        lines = [f"{path.name},any,{group}" for path, group in zip(paths, groups, strict=True)]
        (tmp_path / "index.csv").write_text("\n".join(["path,label,group", *lines]) + "\n")
    out = tmp_path / "out"
    assert main(["demo-data", "--out", str(out), "--sources", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("pks4: error:") == 1
    assert not out.exists()


def test_sources_shorter_than_a_clip_are_named_and_refused(sources, tmp_path, capsys):
    settings = CutoutSettings(num_frames=25)
    with pytest.raises(ValueError, match="has 0 readable videos of at least 25 frames"):
        generate_cutout_dataset(tmp_path / "out", sources=sources, settings=settings)


@pytest.mark.parametrize("option", [["--hard"], ["--num_val", "4"], ["--motions", "turning"]])
def test_options_of_the_shapes_are_refused_beside_sources(sources, tmp_path, capsys, option):
    command = ["demo-data", "--out", str(tmp_path / "out"), "--sources", str(sources), *option]
    assert main(command) == 1
    assert f"{option[0]} applies to shapes only" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_refused(tmp_path, capsys):
    command = ["demo-data", "--out", str(tmp_path / "out"), "--sources", str(tmp_path / "none")]
    assert main(command) == 1
    assert "There is no folder of videos" in capsys.readouterr().err
