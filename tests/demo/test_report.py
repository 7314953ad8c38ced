"""The demo's report of finished trials, from hand-written files."""

import csv
import json

import pytest
import yaml
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from pks4_lightning.demo.motion.clips import label_names
from pks4_lightning.demo.motion.dataset import generate_motion_dataset
from pks4_lightning.demo.motion.settings import MotionSettings
from pks4_lightning.demo.report import MODELS, demo_summary, draw_pictures, measure
from pks4_lightning.experiments.plan import Arm, Trial
from pks4_lightning.experiments.results import Result

NAMES = label_names()
OTHER_WAY, OTHER_PAIR = 1, 2


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return generate_motion_dataset(
        tmp_path_factory.mktemp("demo") / "data",
        num_train=0,
        num_val=0,
        num_test=8,
        settings=MotionSettings(size=32, num_frames=4),
        num_workers=0,
    )


def write_events(folder, points):
    """Write points of (seconds, step, tag, value) as one session's event file."""
    writer = EventFileWriter(str(folder))
    for seconds, step, tag, value in points:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        # the file's own start time is now, so the points must be later
        writer.add_event(Event(wall_time=4e9 + seconds, step=step, summary=summary))
    writer.close()


def make_trial(model, seed, folder, data, *, wrong):
    """Write the files of a training and a test; ``wrong`` maps rows to label errors."""
    views = {"data": {"num_clips": 1, "num_crops": 1}}
    trial = Trial(Arm(MODELS[model]), seed, (), views, folder / f"{model}{seed}")
    test = trial.test_folder / "test"
    (trial.folder / "checkpoints").mkdir(parents=True)
    test.mkdir(parents=True)
    resolved = {"steps_per_epoch": 10}
    (trial.folder / "checkpoints" / "resolved.yaml").write_text(yaml.safe_dump(resolved))
    entries = json.loads((data / "labels" / "test.json").read_text())
    with (test / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video_path", "label", "top1", "score1"])
        for row, entry in enumerate(entries):
            label = NAMES.index(entry["template"].replace("[", "").replace("]", ""))
            answer = NAMES[(label ^ wrong[row]) if row in wrong else label]
            writer.writerow([data / "videos" / f"{entry['id']}.webm", NAMES[label], answer, 0.75])
    write_events(
        trial.folder,
        [(0, 4, "train/loss", 2.0), (7, 9, "train/loss", 1.0), (12, 9, "val/top1", 0.5)],
    )
    return trial


def test_pair_and_direction_are_counted_separately(data, tmp_path):
    wrong = {0: OTHER_WAY, 3: OTHER_WAY, 5: OTHER_PAIR}
    trial = make_trial("pks4", 0, tmp_path, data, wrong=wrong)
    numbers = measure(trial, data=data)
    assert numbers == {"pair": pytest.approx(7 / 8), "direction": pytest.approx(5 / 7)}


def test_the_promised_names_hold_means_over_seeds():
    common = {"table": 0, "params": 1234, "gflops": 0.1, "peak_memory_mb": 1.0, "commit": ""}
    results = [
        Result(
            **common,
            row=model,
            seed=seed,
            top1=top1 - seed / 8,
            top5=1.0,
            seconds=10.0 + seed,
            config_hash="",
            measures={"pair": 1.0, "direction": top1},
        )
        for seed in (0, 2)
        for model, top1 in (("PKS⁴", 1.0), ("frame averaging", 0.5))
    ]
    summary = demo_summary(results)
    assert summary["pks4"] == {
        "parameters": 1234,
        "seconds": 11.0,
        "test/video_top1": 7 / 8,
        "test/video_top5": 1.0,
        "pair_accuracy": 1.0,
        "direction_accuracy": 1.0,
    }
    assert summary["baseline"]["test/video_top1"] == 3 / 8


def test_pictures_are_drawn(data, tmp_path):
    trials = [
        make_trial(model, seed, tmp_path, data, wrong=dict.fromkeys(range(wrong), OTHER_WAY))
        for seed in (0, 1)
        for model, wrong in (("pks4", seed), ("baseline", 4))
    ]
    paths = draw_pictures(trials, data=data, folder=tmp_path)
    assert [path.name for path in paths] == ["learning_curves.png", "contact_sheet.png"]
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG")
