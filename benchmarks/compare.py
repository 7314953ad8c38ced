"""Compare PKS4 with other methods at demo scale: `python benchmarks/compare.py`.

Eight methods and three seeds take an hour on two idle cores with `--jobs 2`. Training times are
wall-clock times. In addition, a single step is timed in the processor time of one thread, which
other jobs on the machine hardly affect. Other options go to `pks4 compare`, for example `--config
egogestar --data.root DIR --data.train four.csv --folds 5`.
"""

import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from machine import arguments, write_rows

from pks4_lightning.cli.settings import resolve
from pks4_lightning.cost.training_step import ClipBatch, Precision, TrainingStep
from pks4_lightning.experiments.methods.arms import method_arms
from pks4_lightning.experiments.results import read_results, write_results
from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.resolve import without_weights


def main():
    parser = arguments("Train and test PKS4 and the methods it is compared with.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="trainings in parallel")
    parser.add_argument("--out", type=Path, default=Path("runs/compare"), help="results folder")
    options, others = parser.parse_known_args()
    command = ["compare", "--seeds", *map(str, options.seeds), "--jobs", str(options.jobs)]
    command += ["--out", str(options.out), *others]
    subprocess.run([sys.executable, "-m", "pks4_lightning", *command], check=True)
    if options.json is None:
        return
    rows = json.loads((options.out / "comparison.json").read_text())
    if not others:  # the demo
        rows = [{**each, "processor_seconds_per_step": step_time(each["method"])} for each in rows]
    write_rows(options.json, rows)
    results = read_results(options.out / "results.csv")
    finished = [each for each in results if each.seed in options.seeds]
    write_results(options.json.with_suffix(".csv"), finished)
    shutil.copyfile(options.out / "comparison.png", options.json.with_suffix(".png"))


def step_time(method, *, num_rounds=15):
    """Return the median processor time of a training step at the demo's batch size, in seconds.

    Decoding is not included.
    """
    torch.set_num_threads(1)
    demo = ["--config", "demo/pks4"]
    (arm,) = method_arms([method], resolve(demo), own="demo/methods")
    settings = resolve([*demo, *arm.arguments])
    data = settings["data"]
    clips = ClipBatch(
        num_clips=data["batch_size"], num_frames=data["num_frames"], frame_size=data["frame_size"]
    )
    classifier = build_classifier(without_weights(PKS4Config(**settings["model"]["classifier"])))
    step = TrainingStep(classifier, clips, Precision())
    seconds = []
    for _ in range(2 + num_rounds):
        start = time.process_time()
        step()
        seconds.append(time.process_time() - start)
    return round(statistics.median(seconds[2:]), 4)


if __name__ == "__main__":
    main()
