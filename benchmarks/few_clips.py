"""Ablate the recipe for training a whole tower on few clips (an hour on one core).

``python benchmarks/few_clips.py --root /data/EgoGestAR/testvideo`` changes one setting per row:
four directions, the first of the five folds of ``pks4 evidence`` held out, one seed, the same
number of clip passes for every row.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from machine import arguments, write_rows
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pks4_lightning.experiments.evidence.tasks import TASKS, evidence_clips
from pks4_lightning.experiments.folds import grouped_folds, write_split

ROUTES = ("--model.classifier.route_from", "1")
RATE = ("--model.recipe.base_lr", "0.0064")  # 2e-4 at 8 clips per step
DECAY = ("--model.recipe.layer_decay", "0.6")
BATCH = ("--data.batch_size", "4", "--model.recipe.reference_batch", "4")
ARMS = {
    "good": ("protocols/few_clips, class-token routes from block 9 on", ()),
    "good_routes": ("class-token routes in every block", ROUTES),
    "good_lr": ("a fifth of the rate", RATE),
    "good_decay": ("layer decay 0.6", DECAY),
    "bad": (
        "routes in every block, layer decay 0.6, a fifth of the rate, 4 clips per step",
        # the same rate at half the batch, for twice as many steps
        (*ROUTES, *DECAY, *BATCH, "--model.recipe.base_lr", "0.0128", "--trainer.max_steps", "200"),
    ),
}


def train_and_test(key: str, options: Any, split: Path) -> dict[str, Any]:
    """Train and test one row unless it is finished, and return its results."""
    name, changes = ARMS[key]
    folder = options.out / key
    metrics = folder / "test" / "metrics.json"
    lists = [part for use in ("train", "val", "test") for part in (f"--data.{use}", str(split))]
    fit = ("--config", "egogestar", "--config", "protocols/few_clips", *lists, *changes)
    place = ("--trainer.default_root_dir", str(folder))
    if not metrics.is_file():
        tower = ("--model.classifier.backbone", options.tower) if options.tower else ()
        seed = ("--seed_everything", "0", "--data.seed", "0", "--data.root", str(options.root))
        run("fit", *fit, *tower, *seed, *place, "--ckpt_path", "auto")
        run("test", "--ckpt_path", str(folder / "checkpoints" / "last.ckpt"), *place)
    events = EventAccumulator(str(folder)).Reload()
    last = [event.value for event in events.Scalars("train/loss")][-3:]  # logged every ten steps
    tested = json.loads(metrics.read_text())
    return {
        "row": name,
        "changes": " ".join(changes),
        "num_right": round(tested["test/video_top1"] * tested["num_scored"]),
        "num_test_clips": tested["num_scored"],
        "top1_interval": tested["test/video_top1_interval"],
        "train_loss": round(sum(last) / len(last), 3),
    }


def run(*command: str) -> None:
    subprocess.run([sys.executable, "-m", "pks4_lightning", *command], check=True)


if __name__ == "__main__":
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="folder of the clips")
    parser.add_argument("--tower", help="folder of the tower, instead of downloading it")
    parser.add_argument("--out", type=Path, default=Path("runs/few_clips"))
    parser.add_argument("--rows", nargs="+", default=list(ARMS), choices=list(ARMS))
    options = parser.parse_args()
    clips = evidence_clips(options.root / "index.csv", TASKS["directions"])
    options.out.mkdir(parents=True, exist_ok=True)
    split = (options.out / "fold1.csv").absolute()
    write_split(split, clips, grouped_folds(clips, 5), test=1)
    rows = [train_and_test(key, options, split) for key in options.rows]
    for row in rows:
        print(json.dumps(row))
    write_rows(options.json, rows)
