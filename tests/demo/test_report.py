"""Numbers and pictures of finished runs, from files written by hand."""

import csv
import io
import json

import pytest
import yaml
from rich.console import Console
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from pks4_lightning.demo.motion.dataset import MotionSettings, generate_motion_dataset, label_names
from pks4_lightning.demo.report import Run, draw_pictures, measure, results_table, summarise

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
    """Write (seconds, step, tag, value) as one session's event file."""
    writer = EventFileWriter(str(folder))
    for seconds, step, tag, value in points:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        # the file itself begins now, so the points must not lie before
        writer.add_event(Event(wall_time=4e9 + seconds, step=step, summary=summary))
    writer.close()


def write_run(run, data, *, wrong):
    """Write what a training and a test leave behind; ``wrong`` maps rows to label errors."""
    (run.folder / "checkpoints").mkdir(parents=True)
    (run.folder / "test").mkdir()
    resolved = {"parameters": 1234, "steps_per_epoch": 10}
    (run.folder / "checkpoints" / "resolved.yaml").write_text(yaml.safe_dump(resolved))
    metrics = {"test/video_top1": 1 - len(wrong) / 8, "test/video_top5": 1.0}
    (run.folder / "test" / "metrics.json").write_text(json.dumps(metrics))
    entries = json.loads((data / "labels" / "test.json").read_text())
    with (run.folder / "test" / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video_path", "label", "top1", "score1"])
        for row, entry in enumerate(entries):
            label = NAMES.index(entry["template"].replace("[", "").replace("]", ""))
            answer = NAMES[(label ^ wrong[row]) if row in wrong else label]
            writer.writerow([data / "videos" / f"{entry['id']}.webm", NAMES[label], answer, 0.75])
    write_events(
        run.folder,
        [(0, 4, "train/loss", 2.0), (7, 9, "train/loss", 1.0), (12, 9, "val/top1", 0.5)],
    )
    return run


def test_pair_and_direction_are_counted_apart(data, tmp_path):
    wrong = {0: OTHER_WAY, 3: OTHER_WAY, 5: OTHER_PAIR}
    run = write_run(Run("pks4", 0, tmp_path / "run"), data, wrong=wrong)
    numbers = measure(run, data=data)
    assert numbers["parameters"] == 1234
    assert numbers["test/video_top1"] == pytest.approx(5 / 8)
    assert numbers["pair_accuracy"] == pytest.approx(7 / 8)
    assert numbers["direction_accuracy"] == pytest.approx(5 / 7)


def make_runs(data, folder, seeds):
    return [
        write_run(
            Run(model, seed, folder / f"{model}{seed}"),
            data,
            wrong=dict.fromkeys(range(seed + 4 * (model == "baseline")), OTHER_WAY),
        )
        for seed in seeds
        for model in ("pks4", "baseline")
    ]


def test_one_seed_stands_under_the_promised_names(data, tmp_path):
    runs = make_runs(data, tmp_path, [0])
    summary = summarise({run: measure(run, data=data) for run in runs})
    assert set(summary) == {"pks4", "baseline"}
    promised = {
        "parameters",
        "seconds",
        "test/video_top1",
        "test/video_top5",
        "pair_accuracy",
    }
    assert promised <= set(summary["pks4"])
    assert "std" not in summary["pks4"]
    assert summary["baseline"]["test/video_top1"] == 0.5
    assert summary["baseline"]["pair_accuracy"] == 1.0


def test_several_seeds_give_mean_and_spread(data, tmp_path):
    runs = make_runs(data, tmp_path, [0, 1, 2])
    summary = summarise({run: measure(run, data=data) for run in runs})
    assert summary["pks4"]["test/video_top1"] == pytest.approx(7 / 8)
    assert summary["pks4"]["std"]["test/video_top1"] == pytest.approx(1 / 8)
    assert set(summary["pks4"]["seeds"]) == {"0", "1", "2"}
    text = printed(results_table(summary))
    assert "87.5 ± 12.5" in text
    assert "37.5 ± 12.5" in text
    assert "…" not in text, "it fits a terminal of 80 columns"


def test_the_table_of_one_seed_shows_sizes_too(data, tmp_path):
    runs = make_runs(data, tmp_path, [0])
    text = printed(results_table(summarise({run: measure(run, data=data) for run in runs})))
    assert "1,234" in text


def printed(table):
    console = Console(width=80, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def test_pictures_are_drawn(data, tmp_path):
    runs = make_runs(data, tmp_path, [0, 1])
    paths = draw_pictures(runs, data=data, folder=tmp_path)
    assert [path.name for path in paths] == ["learning_curves.png", "contact_sheet.png"]
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG")
